"""Two ways of making the same change, side by side: what the application felt and what the server did."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

from migration_xray.errors import UserError
from migration_xray.markup import table
from migration_xray.trace import NOTEWORTHY, Held, Trace, worst_first
from migration_xray.words import bare, listed, megabytes, milliseconds

from .felt import Felt, refusals


class Comparison:
    """One column for each way, by its name; each is what ``last_traffic()`` gave after its ``%%traffic`` cell.

    A way that takes several such cells is a list of what each gave. ``rows_wrong`` is, for each way, how many rows it
    left wrong, which only a query of the lesson's own can tell. Raises UserError where it has another length.
    """

    def __init__(self, ways: dict[str, Felt | list[Felt]], rows_wrong: Sequence[int] | None = None):
        self.ways = {name: felt if isinstance(felt, list) else [felt] for name, felt in ways.items()}
        self.rows = [(name, [tell(felt) for felt in self.ways.values()]) for name, tell in ROWS.items()]
        if rows_wrong is not None:
            if len(rows_wrong) != len(ways):
                raise UserError(
                    f"compare() has {len(ways)} ways and {len(rows_wrong)} numbers of rows_wrong. Give one for each way."
                )
            self.rows.append(("rows wrong", [f"{count:,}" for count in rows_wrong]))

    def __str__(self) -> str:
        lines = [["", *self.ways], *([name, *cells] for name, cells in self.rows)]
        return "\n".join(" | ".join(line) for line in lines)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        rows = [list(map(escape, (name, *cells))) for name, cells in self.rows]
        return {"text/plain": str(self), "text/html": table(["", *self.ways], rows, named=True)}


def _traces(felt: list[Felt]) -> list[Trace]:
    return [trace for one in felt for trace in one.traces]


def _strongest(felt: list[Felt]) -> str:
    held = [one for trace in _traces(felt) for one in trace.held if not one.relation.endswith("alembic_version")]
    worst: list[Held] = worst_first([one for one in held if one.rank >= NOTEWORTHY])
    if not worst:
        return "none that blocks a table"
    longest, *others = (one for one in worst if one.mode == worst[0].mode)
    relations = sorted({bare(one.relation) for one in (longest, *others)})
    return (
        f"{longest.mode} on {listed(relations)}, held for {'up to ' * (len(relations) > 1)}{milliseconds(longest.ms)}"
    )


def _tables(attribute: str) -> Callable[[list[Felt]], str]:
    def tell(felt: list[Felt]) -> str:
        told = [name for trace in _traces(felt) for one in trace.statements for name in getattr(one, attribute)]
        return listed(map(bare, sorted(set(told)))) if told else "nothing"

    return tell


def _wal(felt: list[Felt]) -> str:
    return megabytes(sum(one.wal_bytes for trace in _traces(felt) for one in trace.statements)) + " of WAL"


def _errors(felt: list[Felt]) -> str:
    return ", ".join(map(str, refusals(sample for one in felt for sample in one.samples))) or "none"


ROWS: dict[str, Callable[[list[Felt]], str]] = {
    "longest read stall": lambda felt: milliseconds(max(one.worst_read_ms for one in felt)),
    "longest write stall": lambda felt: milliseconds(max(one.worst_write_ms for one in felt)),
    "strongest lock": _strongest,
    "rewrote": _tables("rewrote"),
    "scanned to verify": _tables("scanned"),
    "written": _wal,
    "errors of the application": _errors,
}
