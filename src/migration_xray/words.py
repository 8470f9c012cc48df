"""Numbers, lists and pictures in words. A milliseconds' figure is always "1,204 ms", which lessons rely on."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

# CSS for a <pre> of prose; JupyterLab breaks words in the middle where it is not told otherwise.
FLOWING = "white-space: pre-wrap; word-break: normal; overflow-wrap: anywhere; font-family: inherit"


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


def words_below(picture: str, words: str, style: str = "") -> str:
    """HTML below a picture that unfolds into its words: JupyterLab (4.6) gives an image no alt text."""
    attribute = f' style="{style}"' if style else ""
    return f"<details><summary>The {picture} in words</summary><pre{attribute}>{escape(words)}</pre></details>"
