"""A trace as HTML, for a notebook."""

from __future__ import annotations

from html import escape

from migration_xray.markup import sign, table
from migration_xray.trace import Lock, Statement, Trace
from migration_xray.words import megabytes, milliseconds

from .content import (
    LEFT,
    SIGNS,
    heading,
    leftover,
    noteworthy,
    other_waits,
    rows_of,
    sentence,
    shown,
    title,
    verdicts,
    wait_for,
    worth_telling,
)

# With a contrast of 3 on white and on JupyterLab's dark page: https://www.w3.org/TR/WCAG22/#non-text-contrast
COLOURS = {"reads and writes": "#c24400", "writes": "#8a6700", "other schema changes": "#1a6fc4"}
COLUMNS = ("statement", "what the server did", "time", "rows", "WAL")


def as_html(trace: Trace) -> str:
    """The report as a fragment of HTML."""
    told = worth_telling(trace)
    parts = [_heading(3, title(trace, told))]
    for transaction in told:
        parts.append(_heading(4, heading(transaction, trace)))
        for held in noteworthy(transaction):
            colour = COLOURS[held.blocks]
            bars = sign(SIGNS[held.blocks], f"color: {colour}; letter-spacing: -2px")
            words = escape(sentence(held, wait_for(transaction, held)))
            edge = f"border-left: 4px solid {colour}; padding: 0.2em 0.8em; margin: 2px 0"
            parts.append(f'<div style="{edge}">{bars}&nbsp; {words}</div>')
        parts += [f'<div style="padding: 0.2em 0.8em">{escape(waits)}</div>' for waits in other_waits(transaction)]
        if statements := shown(transaction):
            parts.append(table(COLUMNS, [_row(*one) for one in statements]))
    if trace.leftovers:
        parts.append(_heading(4, LEFT))
        parts += [f'<div style="padding: 0.2em 0.8em">{_verdict(leftover(one))}</div>' for one in trace.leftovers]
    return "\n".join(parts)


def _heading(level: int, words: str) -> str:
    """A heading, of which JupyterLab's table of contents takes no notice."""
    style = "font-size: 1em; font-weight: bold; margin: 1em 0 0.3em 0"
    return f'<h{level} class="jp-toc-ignore" style="{style}">{escape(words)}</h{level}>'


def _row(statement: Statement, locks: list[Lock], times: int) -> list[str]:
    code = f'<code style="white-space: pre-wrap; overflow-wrap: anywhere">{escape(statement.in_short)}</code>'
    rows = rows_of(statement)
    counted = "" if rows is None else f"{rows:,}"
    numbers = (milliseconds(statement.ms), counted, megabytes(statement.wal_bytes))
    told = "<br>".join(map(_verdict, verdicts(statement, locks, times)))
    return [code, told, *(f'<span style="white-space: nowrap">{figure}</span>' for figure in numbers)]


def _verdict(told: str) -> str:
    glyph, words = told.split(" ", 1)
    return f"{sign(glyph)} {escape(words)}"
