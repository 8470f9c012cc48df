"""Numbers and lists in words. A milliseconds' figure is always "1,204 ms", which lessons rely on."""

from __future__ import annotations

from collections.abc import Iterable


def listed(parts: Iterable[str]) -> str:
    """A, B and C."""
    *others, last = list(parts) or [""]
    return f"{', '.join(others)} and {last}" if others else last


def milliseconds(ms: float) -> str:
    return f"{ms:,.0f} ms"


def megabytes(count: int) -> str:
    """Bytes as megabytes, to one digit."""
    return f"{count / 1_000_000:,.1f} MB"


def bare(relation: str) -> str:
    """A relation's name without the schema public."""
    return relation.removeprefix("public.")
