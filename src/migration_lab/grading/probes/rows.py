"""The rows of a database's tables at one moment, to be read later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from migration_lab.pictures import Schema, Table

# What a value's text depends on besides the value.
SESSION = {"datestyle": "ISO", "intervalstyle": "postgres", "timezone": "UTC", "bytea_output": "hex"}

Texts = tuple[bytes | None, ...]


@dataclass(frozen=True)
class Content:
    """A table's rows at one moment, in the order of ``key``: its primary key, or all its columns where it has none.

    ``types`` are the columns' types, by name. The rows stay as the server sent them until somebody asks for them.
    """

    types: dict[str, str]
    key: tuple[str, ...]
    has_key: bool
    cursor: psycopg.Cursor[dict[str, Any]]

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Column → value, as psycopg gives it."""
        return self.cursor.fetchall()

    @property
    def count(self) -> int:
        return self.cursor.rowcount

    def texts(self, columns: tuple[str, ...]) -> list[Texts]:
        """These columns of each row, as the server writes them."""
        result, names = self.cursor.pgresult, list(self.types)
        assert result is not None  # a SELECT has one
        places = [names.index(column) for column in columns]
        value = result.get_value
        return list(zip(*([value(row, place) for row in range(result.ntuples)] for place in places), strict=True))


class Rows(Mapping[str, list[dict[str, Any]]]):
    """The rows of each table at the moment this was made: ``rows["orders"]`` is a list of dicts, column → value.

    ``schema`` is the schema of that moment, ``content`` has the columns and the key of a table besides.
    """

    def __init__(self, session: psycopg.Connection, schema: Schema):
        self.schema = schema
        tables = [table for table in schema.tables.values() if table.kind in ("table", "partitioned table")]
        with session.transaction(force_rollback=True):
            session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            session.execute(
                "SELECT set_config(name, value, true) FROM unnest(%s::text[], %s::text[]) AS s(name, value)",
                [list(SESSION), list(SESSION.values())],
            )
            self.content = {table.name: _content(session, table) for table in tables if table.columns}

    def __getitem__(self, table: str) -> list[dict[str, Any]]:
        return self.content[table].rows

    def __iter__(self) -> Iterator[str]:
        return iter(self.content)

    def __len__(self) -> int:
        return len(self.content)


def identifier(table: str) -> sql.Identifier:
    """A table's name as a schema's snapshot has it, for SQL."""
    return sql.Identifier(*(table.split(".", 1) if "." in table else ("public", table)))


def _content(session: psycopg.Connection, table: Table) -> Content:
    types = {name: column.type for name, column in table.columns.items()}
    keys = [constraint.columns for constraint in table.constraints.values() if constraint.kind == "primary key"]
    key = keys[0] if keys else tuple(types)
    query = sql.SQL("SELECT {} FROM {} ORDER BY {}").format(
        sql.SQL(", ").join(map(sql.Identifier, types)),
        identifier(table.name),
        sql.SQL(", ").join(map(sql.Identifier if keys else _as_text, key)),
    )
    return Content(types, key, bool(keys), session.cursor(row_factory=dict_row).execute(query))


def _as_text(column: str) -> sql.Composed:
    """A column to sort by whatever its type: one such as json has no order of its own."""
    return sql.SQL("{}::text").format(sql.Identifier(column))
