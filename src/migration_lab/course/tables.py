"""A table for a cell's output, as HTML that a screen reader can walk through, and as aligned text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

CELL = "padding: 3px 12px 3px 0; text-align: left; vertical-align: top; border: none; overflow-wrap: anywhere"


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The table as HTML. The first cell of each row is its heading."""
    columns = "".join(f'<th scope="col" style="{CELL}; font-weight: bold">{escape(name)}</th>' for name in head)
    body = "".join(
        f'<tr><th scope="row" style="{CELL}; font-weight: normal">{escape(first)}</th>'
        + "".join(f'<td style="{CELL}">{escape(cell)}</td>' for cell in others)
        + "</tr>"
        for first, *others in rows
    )
    title = f'<caption style="text-align: left; font-weight: bold; padding: 3px 0">{escape(caption)}</caption>'
    return f'<table style="border-collapse: collapse">{title}<thead><tr>{columns}</tr></thead><tbody>{body}</tbody></table>'


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The table as lines of text, in columns that are as wide as their widest cell."""
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
