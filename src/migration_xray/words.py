"""Numbers, lists and misspelt names in words. A milliseconds' figure is always "1,204 ms", which lessons rely on."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


def listed(parts: Iterable[str]) -> str:
    """A, B and C."""
    *others, last = list(parts) or [""]
    return f"{', '.join(others)} and {last}" if others else last


def nearest(word: str, known: Iterable[str]) -> str:
    """A sentence, after a space, that names the known word which a misspelt one is nearest to; empty if none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" The nearest is {near[0]}." if near else ""


def shortened(text: str, longest: int) -> str:
    """A text on one line, of so many letters at the most."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[: longest - 2]} …"


def milliseconds(ms: float) -> str:
    return f"{ms:,.0f} ms"


def without_times(text: str) -> str:
    """A text with one and the same time in place of each that :func:`milliseconds` wrote."""
    return re.sub(r"\d[\d,]* ms\b", "N ms", text)


def megabytes(count: int) -> str:
    """Bytes as megabytes, to one digit."""
    return f"{count / 1_000_000:,.1f} MB"


def bare(relation: str) -> str:
    """A relation's name without the schema public."""
    return relation.removeprefix("public.")
