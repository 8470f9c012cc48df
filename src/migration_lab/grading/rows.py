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


@dataclass(frozen=True)
class Content:
    """A table's rows at one moment, in the order of ``key``: its primary key, or all its columns where it has none.

    They stay as the server sent them until somebody asks for them.
    """

    columns: tuple[str, ...]
    key: tuple[str, ...]
    cursor: psycopg.Cursor[dict[str, Any]]

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Column → value, as psycopg gives it."""
        return self.cursor.fetchall()


class Rows(Mapping[str, list[dict[str, Any]]]):
    """The rows of each table at the moment this was made: ``rows["orders"]`` is a list of dicts, column → value.

    ``content`` has the columns and the key of a table besides: ``rows.content["orders"].key``.
    """

    def __init__(self, session: psycopg.Connection, schema: Schema):
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


def identifier(name: str) -> sql.Identifier:
    """A table's name as a schema's snapshot has it, for SQL."""
    return sql.Identifier(*(name.split(".", 1) if "." in name else ("public", name)))


def _content(session: psycopg.Connection, table: Table) -> Content:
    columns = tuple(table.columns)
    keys = [constraint.columns for constraint in table.constraints.values() if constraint.kind == "primary key"]
    key = keys[0] if keys else columns
    query = sql.SQL("SELECT {} FROM {} ORDER BY {}").format(
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        identifier(table.name),
        sql.SQL(", ").join(map(sql.Identifier, key) if keys else map(_as_text, columns)),
    )
    return Content(columns, key, session.cursor(row_factory=dict_row).execute(query))


def _as_text(column: str) -> sql.Composed:
    """A column to sort by whatever its type: one such as json has no order of its own."""
    return sql.SQL("{}::text").format(sql.Identifier(column))
