"""Two ways of making the same change, side by side: what the application felt and what the server did."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from .felt import Felt
from .trace import NOTEWORTHY, Held, worst_first
from .words import bare, listed, megabytes, milliseconds


class Comparison:
    """One column for each way, by its name; each is what ``last_traffic()`` gave after its ``%%traffic`` cell."""

    def __init__(self, ways: dict[str, Felt]):
        self.ways = ways
        self.rows = [(name, [tell(felt) for felt in ways.values()]) for name, tell in ROWS.items()]

    def __str__(self) -> str:
        lines = [["", *self.ways], *([name, *cells] for name, cells in self.rows)]
        return "\n".join(" | ".join(line) for line in lines)

    def _repr_mimebundle_(self, **_) -> dict[str, str]:
        style = "text-align: left; vertical-align: top; padding: 4px 16px 4px 0"
        head = "".join(f'<th style="{style}">{escape(way)}</th>' for way in ["", *self.ways])
        body = "".join(
            f'<tr><th style="{style}">{escape(name)}</th>'
            + "".join(f'<td style="{style}">{escape(cell)}</td>' for cell in cells)
            + "</tr>"
            for name, cells in self.rows
        )
        return {"text/plain": str(self), "text/html": f"<table><tr>{head}</tr>{body}</table>"}


def _strongest(felt: Felt) -> str:
    held = [one for trace in felt.traces for one in trace.held if not one.relation.endswith("alembic_version")]
    worst: list[Held] = worst_first([one for one in held if one.rank >= NOTEWORTHY])
    if not worst:
        return "none that anybody waits for"
    longest = max((one for one in worst if one.mode == worst[0].mode), key=lambda one: one.ms)
    return f"{longest.mode} on {bare(longest.relation)}, held for {milliseconds(longest.ms)}"


def _tables(attribute: str) -> Callable[[Felt], str]:
    def tell(felt: Felt) -> str:
        told = [name for trace in felt.traces for one in trace.statements for name in getattr(one, attribute)]
        return listed(map(bare, sorted(set(told)))) if told else "nothing"

    return tell


def _wal(felt: Felt) -> str:
    return megabytes(sum(one.wal_bytes for trace in felt.traces for one in trace.statements)) + " of WAL"


def _errors(felt: Felt) -> str:
    return ", ".join(map(str, felt.refusals)) or "none"


ROWS: dict[str, Callable[[Felt], str]] = {
    "longest read stall": lambda felt: milliseconds(felt.worst_read_ms),
    "longest write stall": lambda felt: milliseconds(felt.worst_write_ms),
    "strongest lock": _strongest,
    "rewrote": _tables("rewrote"),
    "scanned to verify": _tables("scanned"),
    "written": _wal,
    "errors of the application": _errors,
}
