"""Whether the rows that were there are there again: a migration keeps what people have written."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from textwrap import shorten
from typing import Any

from migration_lab.course import RowChanges
from migration_lab.pictures import Schema, Table
from migration_xray.words import listed

from .rows import Content, Rows, Texts

NUMBERS = {"smallint", "integer", "bigint", "numeric", "real", "double precision"}


def changes(before: Rows, after: Rows, allowed: RowChanges, within: Schema) -> list[str]:
    """What became of rows that nobody asked for, in sentences; [] where all of them are there and none is new.

    Only the tables and columns that ``within`` has are compared. A value of another type is the same one if it reads the same.
    """
    return [
        sentence
        for name, content in before.content.items()
        if name in within.tables
        for sentence in _of_table(name, content, after.content.get(name), allowed, within.tables[name])
    ]


def _of_table(name: str, before: Content, after: Content | None, allowed: RowChanges, within: Table) -> Iterator[str]:
    if after is None:
        if name not in allowed.removes:
            yield f"the table {name} is gone, and {_rows(before.count)} with it"
        return
    compared = [
        column for column in before.types if column in within.columns and f"{name}.{column}" not in allowed.changes
    ]
    for column in compared:
        if column not in after.types:
            yield f"the column {name}.{column} is gone, and its values with it"
    columns = tuple(column for column in compared if column in after.types)
    if before.texts(columns) == after.texts(columns):
        return
    by_key = before.has_key and set(before.key) <= set(columns)
    compare = _rows_by_key if by_key else _rows_as_they_are
    yield from compare(name, columns, before, after, allowed)


def _rows_by_key(
    name: str, columns: tuple[str, ...], before: Content, after: Content, allowed: RowChanges
) -> Iterator[str]:
    was, now = (
        dict(zip(content.texts(before.key), content.texts(columns), strict=True)) for content in (before, after)
    )
    gone, new = [key for key in was if key not in now], [key for key in now if key not in was]
    if gone and name not in allowed.removes:
        yield f"{_part(gone, was)} of {name} {_are(gone)} gone, {_instance(before.key, gone[0])}"
    if new and name not in allowed.adds:
        yield f"{_rows(len(new))} of {name} {_are(new)} new, {_instance(before.key, new[0])}"
    for place, column in enumerate(columns):
        types = before.types[column], after.types[column]
        changed = [key for key in was if key in now and not _same(was[key][place], now[key][place], *types)]
        if changed:
            first = changed[0]
            values = f"{_shown(was[first][place], types[0])} became {_shown(now[first][place], types[1])}"
            yield f"{name}.{column} has changed in {_part(changed, was)}, {_instance(before.key, first)}: {values}"


def _rows_as_they_are(
    name: str, columns: tuple[str, ...], before: Content, after: Content, allowed: RowChanges
) -> Iterator[str]:
    """The same for a table without a key to find a row by: one that was changed is one that is gone, and a new one."""
    was, now = (
        Counter(
            tuple(_reading(content.types[column])(value) for column, value in zip(columns, row, strict=True))
            for row in content.texts(columns)
        )
        for content in (before, after)
    )
    gone, new = list((was - now).elements()), list((now - was).elements())
    if gone and name not in allowed.removes:
        yield f"{_part(gone, list(was.elements()))} of {name} {_are(gone)} gone, or changed"
    if new and name not in allowed.adds:
        yield f"{_rows(len(new))} of {name} {_are(new)} new, or changed"


def _same(was: bytes | None, now: bytes | None, type_was: str, type_now: str) -> bool:
    """Whether two texts are the same value: equal, or read alike, such as 9.50 and 9.5000."""
    if was == now or type_was == type_now or was is None or now is None:
        return was == now
    return _reading(type_was)(was) == _reading(type_now)(now)


def _reading(type_: str) -> Callable[[bytes | None], Any]:
    """How a value of this type is compared with one of another type."""

    def read(value: bytes | None) -> Any:
        if value is None:
            return None
        text = value.decode()
        if type_.split("(")[0] in NUMBERS:
            return str(Decimal(text).normalize() + 0) if text[-1].isdigit() else text  # not NaN and Infinity
        if type_.startswith(("timestamp", "date")):
            return text.removesuffix("+00").removesuffix(" 00:00:00")
        if type_ == "boolean":
            return {"t": "true", "f": "false"}[text]
        if type_.startswith("character("):
            return text.rstrip()
        if type_ in ("json", "jsonb"):
            return json.dumps(json.loads(text), sort_keys=True)
        return text

    return read


def _shown(value: bytes | None, type_: str) -> str:
    if value is None:
        return "NULL"
    text = value.decode()
    if type_ == "boolean":
        return {"t": "true", "f": "false"}[text]
    short = shorten(text, 60, placeholder=" …") if len(text) > 60 else text
    return short if type_.split("(")[0] in NUMBERS else repr(short)


def _instance(key: tuple[str, ...], values: Texts) -> str:
    texts = ("NULL" if value is None else value.decode() for value in values)
    return f"for instance {listed(map(' '.join, zip(key, texts, strict=True)))}"


def _part(some: list, every: Any) -> str:
    return f"{len(some):,} of the {_rows(len(every))}"


def _rows(count: int) -> str:
    return f"{count:,} row{'s' if count != 1 else ''}"


def _are(some: list) -> str:
    return "are" if len(some) != 1 else "is"
