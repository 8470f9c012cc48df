"""HTML that JupyterLab, a forge and an export show alike, and that a screen reader reads well.

JupyterLab cleans the HTML of a notebook that it does not trust: it keeps ``alt``, ``scope``, ``class`` and most of
``style``, and drops every ``aria-`` attribute, ``role`` and ``tabindex``. All that is said here is said without these.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from urllib.parse import quote

# CSS for a <pre> of prose; JupyterLab breaks words in the middle where it is not told otherwise.
FLOWING = "white-space: pre-wrap; word-break: normal; overflow-wrap: anywhere; font-family: inherit"
CELL = "padding: 3px 16px 3px 0; text-align: left; vertical-align: top; border: none; white-space: pre-wrap"
LINE = "border-bottom: 1px solid #8c959f"


def image(picture: bytes | str, alt: str) -> str:
    """A picture that is no wider than its page, and its alternative text. Bytes are a PNG, text is an SVG."""
    if isinstance(picture, bytes):
        source = f"data:image/png;base64,{b64encode(picture).decode()}"
    else:
        source = f"data:image/svg+xml,{quote(picture)}"
    return f'<img src="{source}" alt="{escape(alt)}" style="max-width: 100%; height: auto">'


def words_below(picture: str, words: str, style: str = "") -> str:
    """What unfolds below a picture into all that it shows, in words."""
    attribute = f' style="{style}"' if style else ""
    return f"<details><summary>The {picture} in words</summary><pre{attribute}>{escape(words)}</pre></details>"


def table(columns: Iterable[str], rows: Iterable[Sequence[str]], *, named: bool = False) -> str:
    """A table in a box of its own, which scrolls sideways if a word of it does not fit.

    ``columns`` are text, the cells of ``rows`` are HTML. If the rows are ``named``, their first cells are headings too.
    """
    head = "".join(
        f'<th scope="col" style="{CELL}; {LINE}">{escape(column)}</th>' if column else "<td></td>" for column in columns
    )
    body = "".join(f"<tr>{''.join(_cells(row, named))}</tr>" for row in rows)
    whole = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'{BOX}<table style="border-collapse: collapse; margin: 0.5em 0">{whole}</table></div>'


# With tabindex, the arrow keys scroll it: https://dequeuniversity.com/rules/axe/4.11/scrollable-region-focusable
BOX = '<div style="overflow-x: auto" tabindex="0">'


def text_table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """The same of cells that are text, as a query gives it."""
    return table(columns, [list(map(escape, row)) for row in rows])


def _cells(row: Sequence[str], named: bool) -> Iterable[str]:
    for number, cell in enumerate(row):
        kind = 'th scope="row"' if named and number == 0 else "td"
        yield f'<{kind} style="{CELL}">{cell}</{kind[:2]}>'


def sign(glyph: str, style: str = "") -> str:
    """A sign that repeats what the words beside it say, so that a screen reader passes over it."""
    attribute = f' style="{style}"' if style else ""
    return f'<span aria-hidden="true"{attribute}>{glyph}</span>'
