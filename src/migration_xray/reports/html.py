"""A trace as HTML, for a notebook."""

from __future__ import annotations

from html import escape

from migration_xray.trace import Lock, Statement, Trace
from migration_xray.words import megabytes, milliseconds

from .content import (
    SIGNS,
    heading,
    noteworthy,
    other_waits,
    sentence,
    shortened,
    shown,
    title,
    verdicts,
    wait_for,
    worth_telling,
)

# With a contrast of 3 on white and on JupyterLab's dark page: https://www.w3.org/TR/WCAG22/#non-text-contrast
COLOURS = {"reads and writes": "#c24400", "writes": "#8a6700", "other schema changes": "#1a6fc4"}
CELL = "padding: 3px 12px 3px 0; text-align: left; vertical-align: top; border: none; font-size: 13px"
HEADINGS = ("statement", "what the server did", "time", "rows", "WAL")


def as_html(trace: Trace) -> str:
    """The report as a fragment of HTML."""
    told = worth_telling(trace)
    parts = [f"<p><b>{escape(title(trace, told))}</b></p>"]
    for transaction in told:
        parts.append(f'<p style="margin: 1em 0 0.3em 0"><b>{escape(heading(transaction, trace))}</b></p>')
        for held in noteworthy(transaction):
            colour = COLOURS[held.blocks]
            words = escape(sentence(held, wait_for(transaction, held)))
            parts.append(
                f'<div style="border-left: 4px solid {colour}; padding: 0.2em 0.8em; margin: 2px 0">'
                f'<span style="color: {colour}; letter-spacing: -2px">{SIGNS[held.blocks]}</span>&nbsp; {words}</div>'
            )
        parts += [f'<div style="padding: 0.2em 0.8em">{escape(waits)}</div>' for waits in other_waits(transaction)]
        if statements := shown(transaction):
            head = "".join(
                f'<th style="{CELL}; border-bottom: 1px solid #8c959f">{heading}</th>' for heading in HEADINGS
            )
            rows = "".join(_row(*one) for one in statements)
            parts.append(f'<table style="border-collapse: collapse; margin: 0.5em 0"><tr>{head}</tr>{rows}</table>')
    return "\n".join(parts)


def _row(statement: Statement, locks: list[Lock], times: int) -> str:
    code = f'<code style="white-space: pre-wrap">{escape(shortened(statement))}</code>'
    rows = "" if statement.rows is None else f"{statement.rows:,}"
    words = [code, "<br>".join(map(escape, verdicts(statement, locks, times)))]
    cells = [f'<td style="{CELL}">{cell}</td>' for cell in words]
    numbers = (milliseconds(statement.ms), rows, megabytes(statement.wal_bytes))
    cells += [f'<td style="{CELL}; white-space: nowrap">{figure}</td>' for figure in numbers]
    return f"<tr>{''.join(cells)}</tr>"
