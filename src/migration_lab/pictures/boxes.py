"""What a schema's picture consists of: a box for each table, view and type, and an edge for each foreign key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from textwrap import wrap
from typing import Any

from .drawing import CELL, cells, visible
from .schema import Column, Constraint, Schema, Table, Type

# Pixels.
HEAD, ROW, FOOT, PAD, INDENT = 26, 20, 4, 10, 26

# The long names of https://www.postgresql.org/docs/18/datatype.html and their aliases.
SHORT_TYPES = {
    r"\bcharacter varying\b": "varchar",
    r"\bcharacter\b": "char",
    r"\bbit varying\b": "varbit",
    r"\b(timestamp|time)(\(\d\))? without time zone\b": r"\1\2",
    r"\b(timestamp|time)(\(\d\))? with time zone\b": r"\1tz\2",
}


@dataclass(frozen=True)
class Row:
    """A line of a box: a column, or an enum's label; ``notes`` say at length in the text what ``marks`` do in the picture.

    ``change`` is 'added', 'removed', 'changed' or '', as in a Box, an Edge and a Line.
    """

    name: str
    type: str = ""
    marks: str = ""
    notes: str = ""
    column: Column | None = None
    change: str = field(default="", compare=False)


@dataclass(frozen=True)
class Box:
    """A table (its ``kind`` is '', or 'partition', say), a view or a type."""

    name: str
    kind: str
    change: str
    rows: tuple[Row, ...]
    is_table: bool

    @property
    def width(self) -> int:
        """The heading's, or that of the widest name, type and marks side by side."""
        heading = cells(self.name) + 2 + len(f"{self.kind} {self.change}")
        row = sum(widest + 2 for widest in widths(self.rows, "name", "type", "marks") if widest) - 2
        return max(heading, row) * CELL + INDENT + PAD

    @property
    def height(self) -> int:
        return HEAD + ROW * len(self.rows) + FOOT


@dataclass(frozen=True)
class Edge:
    """A foreign key, from the child's first column to the one that it refers to."""

    child: str
    child_row: str
    parent: str
    parent_row: str
    action: str
    validated: bool
    change: str

    def __str__(self) -> str:
        columns = f"{self.child}.{self.child_row} → {self.parent}.{self.parent_row}"
        return ", ".join(filter(None, [columns, self.action, self.change]))


def boxes(before: Schema, after: Schema) -> list[Box]:
    """The tables, the views and the types of both schemas."""
    return [*_tables(before.tables, after.tables), *_tables(before.views, after.views), *_types(before, after)]


def edges(before: Schema, after: Schema) -> Iterator[Edge]:
    """The foreign keys, but for those that a partition has from its parent."""
    for _, *tables in _merged(before.tables, after.tables):
        for change, was, now in _merged(*(table.constraints if table else {} for table in tables)):
            table, key = tables[1] or tables[0], now or was
            if key.kind == "foreign key" and table.kind != "partition":
                child, child_row = visible(table.name), visible(key.columns[0])
                parent, parent_row = visible(key.referred_table), visible(key.referred_columns[0])
                yield Edge(child, child_row, parent, parent_row, _action(key), key.validated, change)


def _merged(before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """What became of each, what it was, what it is: in today's order, and what is gone where it was."""
    names = list(after)
    for previous, name in zip([None, *before], before, strict=False):
        if name not in after:
            names.insert(0 if previous is None else names.index(previous) + 1, name)
    for name in names:
        was, now = before.get(name), after.get(name)
        yield "added" if was is None else "removed" if now is None else "changed" if was != now else "", was, now


def _tables(before: dict[str, Table], after: dict[str, Table]) -> Iterator[Box]:
    """Tables or views."""
    for change, was, now in _merged(before, after):
        table = now or was
        kind = "" if table.kind == "table" else table.kind
        yield Box(visible(table.name), kind, change, _rows(_columns(was), _columns(now)), table.definition is None)


def _types(before: Schema, after: Schema) -> Iterator[Box]:
    for change, was, now in _merged(before.types, after.types):
        type_ = now or was
        yield Box(visible(type_.name), type_.kind, change, _rows(_labels(was), _labels(now)), False)


def _rows(before: dict[str, Row], after: dict[str, Row]) -> tuple[Row, ...]:
    return tuple(replace(now or was, change=change) for change, was, now in _merged(before, after))


def _labels(type_: Type | None) -> dict[str, Row]:
    """An enum's labels; of another type, its definition."""
    lines = () if type_ is None else type_.labels or wrap(type_.definition or "", 40)
    return {line: Row(visible(line)) for line in lines}


def _columns(table: Table | None) -> dict[str, Row]:
    """A table's columns; of a partition, which has its parent's, what it is a partition of."""
    if table is None:
        return {}
    if table.kind == "partition":
        return {setting: Row(visible(setting)) for setting in table.settings}
    return {name: _column(table, column) for name, column in table.columns.items()}


def _column(table: Table, column: Column) -> Row:
    keys = [key for key in table.constraints.values() if column.name in key.columns]
    primary = any(key.kind == "primary key" for key in keys)
    alone = any(
        index.unique and index.valid and index.predicate is None and index.columns == (column.name,)
        for index in table.indexes.values()
    )
    marks = ["PK"] * primary + ["UQ"] * (alone and not primary) + ["NN"] * (not column.nullable)
    foreign = [key for key in keys if key.kind == "foreign key"]
    return Row(
        visible(column.name),
        visible(_short(column.type)),
        " ".join(marks + [f"FK {(key.on_delete or '').lower()}".removesuffix(" no action") for key in foreign[:1]]),
        " ".join(marks + [f"FK -> {_target(key, column.name)} {_action(key)}".strip() for key in foreign]),
        column,
    )


def _target(key: Constraint, column: str) -> str:
    return visible(f"{key.referred_table}.{key.referred_columns[key.columns.index(column)]}")


def _action(key: Constraint) -> str:
    action = "" if key.on_delete == "NO ACTION" else f"ON DELETE {key.on_delete}"
    return f"{action} {'' if key.validated else 'NOT VALID'}".strip()


def _short(type_: str) -> str:
    for long, short in SHORT_TYPES.items():
        type_ = re.sub(long, short, type_)
    return type_


def widths(rows: Sequence[Row], *attributes: str) -> list[int]:
    """The widest of each attribute, in a monospace font's characters."""
    return [max((cells(getattr(row, attribute)) for row in rows), default=0) for attribute in attributes]
