"""What the lab's pictures have in common: their paper, ink and letters. They are SVG, the same bytes on every machine.

Nothing here measures a font: a cell is wider than any monospace font's letter of that size, so that text stays in its box.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from unicodedata import combining, east_asian_width
from xml.sax.saxutils import escape, quoteattr

# Pixels.
FONT, FONT_SIZE, CELL = "'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace", 13, 8
MARGIN = 24

INK, PALE, PAPER, LINE = "#1f2328", "#57606a", "#ffffff", "#8c959f"
BOLD, AT_END, GONE = ' font-weight="bold"', ' text-anchor="end"', ' text-decoration="line-through"'


def svg(width: int, height: int, title: str, description: str, parts: Iterable[str]) -> str:
    """A picture; ``description`` says all of it in words, for those who can't see it."""
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        f' role="img" font-family={quoteattr(FONT)} font-size="{FONT_SIZE}" xml:space="preserve">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(description)}</desc>",
        f'<rect width="{width}" height="{height}" rx="8" fill="{PAPER}"/>',
        *parts,
        "</svg>",
    ])  # fmt: skip


def text(x: int, y: int, words: str, fill: str, more: str = "") -> str:
    return f'<text x="{x}" y="{y}" fill="{fill}"{more}>{escape(words)}</text>' if words else ""


def visible(words: str) -> str:
    """Text for one line of a terminal or of XML: a name may hold anything but NUL."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]", "\N{REPLACEMENT CHARACTER}", words)


def cells(words: str) -> int:
    """The width of a text in a monospace font, in characters."""
    return sum(0 if combining(letter) else 2 if east_asian_width(letter) in "WF" else 1 for letter in words)


def padded(words: str, width: int) -> str:
    return words + " " * (width - cells(words))
