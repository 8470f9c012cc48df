"""What an application does to a table: the statements that it sends, and the keys of the rows that they are about.

By default the statements are derived from the table as it is now: its rows are read and written by primary key. Or they
are those of a version of the application, from the project's file ``app/NAME.sql``::

    -- read
    SELECT id, name, email FROM users WHERE id = :id;

    -- write
    UPDATE users SET name = name WHERE id = :id;

    -- insert
    INSERT INTO users (name, email) SELECT name, email FROM users WHERE id = :id RETURNING id;

Each statement begins with a comment that says its kind; several of a kind take turns. ``:id`` stands for the value of
the primary key's column ``id`` in some row, as psql's variables are written. An insert returns the primary key of its
row, by which the row is deleted in the end.
"""

from __future__ import annotations

import difflib
import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row, namedtuple_row

from migration_xray.errors import UserError

KINDS = ("read", "write", "insert")
KEYS = 1000  # rows that the traffic is about, at most
PAGES = 100  # of the table, from which they are taken

TABLE = """
    SELECT c.oid, c.relkind, c.oid::regclass::text AS name, pg_table_size(c.oid) AS bytes,
        (SELECT sum(pg_table_size(relid))::bigint FROM pg_partition_tree(c.oid)) AS bytes_of_partitions
    FROM pg_class c WHERE c.oid = to_regclass(%s)"""
TABLES = """
    SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relkind IN ('r', 'p') AND nspname <> 'information_schema' AND nspname !~ '^pg_' ORDER BY 1"""
COLUMNS = """
    SELECT attname AS bare, format('%%I', attname) AS name, attgenerated <> '' AS generated, attidentity AS identity,
        (SELECT k.n FROM pg_index, unnest(indkey[:indnkeyatts - 1]) WITH ORDINALITY AS k (attnum, n)
         WHERE indrelid = attrelid AND indisprimary AND k.attnum = a.attnum) AS key,
        attidentity <> '' OR coalesce(pg_get_expr(adbin, adrelid) ~ 'nextval|uuid', false) AS counted,
        EXISTS (SELECT FROM pg_constraint WHERE conrelid = attrelid AND contype = 'f' AND attnum = ANY(conkey)) AS refers,
        ARRAY(SELECT indexrelid FROM pg_index LEFT JOIN pg_depend ON classid = 'pg_class'::regclass
              AND objid = indexrelid AND refobjid = indrelid AND refobjsubid = attnum
              WHERE indrelid = attrelid AND indisunique AND (attnum = ANY(indkey) OR refobjid IS NOT NULL)) AS unique_in,
        CASE WHEN typcategory = 'S' AND coalesce(nullif(atttypmod, -1) - 4, 32) >= 8
                 THEN format('substr(md5(random()::text), 1, %%s)', coalesce(nullif(atttypmod, -1) - 4, 32))
             WHEN atttypid = 'uuid'::regtype THEN 'gen_random_uuid()'
             WHEN atttypid IN ('int4'::regtype, 'int8'::regtype) THEN '-1 - (random() * 1000000000)::int'
        END AS invented
    FROM pg_attribute a JOIN pg_type t ON t.oid = atttypid
    LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
NOT_TABLES = {
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
    "S": "a sequence",
    "i": "an index",
    "I": "an index",
    "c": "a type",
}

MARK = re.compile(rf"^--[ \t]*({'|'.join(KINDS)})[ \t]*$", re.M)
# What may hold a colon and is no placeholder, and what is one.
# https://www.postgresql.org/docs/18/sql-syntax-lexical.html
TOKEN = re.compile(
    r"""[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*" | (?P<tag>\$\w*\$).*?(?P=tag)
        | --[^\n]* | /\*.*?\*/ | :: | (?<!\w):(?P<placeholder>[A-Za-z_]\w*)""",
    re.X | re.S,
)


@dataclass(frozen=True)
class Statement:
    """A statement with ``$1``, ``$2`` … and, for each of these, which column of the key it stands for."""

    sql: str
    columns: list[int]


@dataclass(frozen=True)
class Application:
    """A version of the application: its statements by kind. ``name`` is None where they are derived from the table."""

    name: str | None
    statements: dict[str, list[Statement]]


@dataclass(frozen=True)
class Column:
    """A column, with its name as SQL writes it.

    ``key`` is its place in the primary key, from 1, or None. ``counted``: the server gives a new row a value that no other
    has. ``refers``: it is a foreign key's. ``unique_in`` are the unique indexes that look at it, and ``invented`` an
    expression for a value of its type that no row is likely to have, or None.
    """

    bare: str
    name: str
    generated: bool
    identity: str
    key: int | None
    counted: bool
    refers: bool
    unique_in: list[int]
    invented: str | None


@dataclass(frozen=True)
class Table:
    """A table of which rows are read and written by primary key.

    ``name`` is as SQL writes it, with a schema that is not searched anyway. ``keys`` are some rows', spread over the table;
    each column's value as text, which the server takes for whatever type the column has.
    """

    name: str
    columns: list[Column]
    keys: list[list[str]]

    @property
    def key(self) -> list[Column]:
        return sorted((column for column in self.columns if column.key), key=lambda column: column.key or 0)

    @property
    def by_key(self) -> str:
        return " AND ".join(f"{column.name} = ${column.key}" for column in self.key)

    def statement(self, sql: str) -> Statement:
        return Statement(sql, list(range(len(self.key))))


def table(session: psycopg.Connection, words: str) -> Table:
    """The table that a person names, as in SQL: ``users``, ``audit.log``, ``"Order Items"``.

    Raises UserError where there is none, or none whose rows can be read and written by primary key.
    """
    try:
        found: Any = session.cursor(row_factory=namedtuple_row).execute(TABLE, [words]).fetchone()
    except (psycopg.errors.SyntaxError, psycopg.errors.InvalidName, psycopg.errors.FeatureNotSupported):
        found = None
    if found is None:
        raise UserError(_no_table(session, words))
    if found.relkind not in ("r", "p"):
        what = NOT_TABLES.get(found.relkind, "no table")
        raise UserError(f"{words} is {what}. Traffic reads and writes the rows of a table: name the one behind it.")
    columns = [Column(**row) for row in session.cursor(row_factory=dict_row).execute(COLUMNS, [found.oid])]
    described = Table(found.name, columns, [])
    if not described.key:
        raise UserError(
            f"{words} has no primary key, and traffic reads and writes row by row. Name a table that has one."
        )
    described.keys.extend(_some_keys(session, described, found.bytes_of_partitions or found.bytes))
    if not described.keys:
        raise UserError(f"{words} is empty. Traffic reads and writes rows that are there: put some in first.")
    return described


def _no_table(session: psycopg.Connection, words: str) -> str:
    names = [name for (name,) in session.execute(TABLES)]
    near = difflib.get_close_matches(words, [*names, *(name.strip('"') for name in names)], 1)
    meant = f"Did you mean {next(name for name in names if near[0] in name)}?" if near else ""
    listed = f"Its tables are: {', '.join(names)}." if names else "It has no tables yet."
    return f"There is no table {words} in this database. {meant or listed}"


def _some_keys(session: psycopg.Connection, table: Table, bytes_: int) -> list[list[str]]:
    """Up to KEYS keys, the same ones every time as long as nobody has written to the table."""
    part = min(100.0, 100.0 * PAGES * 8192 / max(bytes_, 1))
    query = f"SELECT {', '.join(f'{column.name}::text' for column in table.key)} FROM {table.name}"
    rows = session.execute(f"{query} TABLESAMPLE SYSTEM ({part}) REPEATABLE (7)").fetchall()
    rows = rows or session.execute(f"{query} LIMIT {KEYS}").fetchall()
    spread = [rows[index * len(rows) // KEYS] for index in range(KEYS)] if len(rows) > KEYS else rows
    keys = [list(row) for row in spread]
    random.Random(7).shuffle(keys)
    return keys


def derived(table: Table) -> Application:
    """The application that knows the table as it is now: it names every column, and sets one to what it was."""
    written = _written(table)
    rows = f"FROM {table.name} WHERE {table.by_key}"
    statements = {"read": [table.statement(f"SELECT {', '.join(column.name for column in table.columns)} {rows}")]}
    if written:
        update = f"UPDATE {table.name} SET {written.name} = {written.name} WHERE {table.by_key}"
        statements["write"] = [table.statement(update)]
    if copied := _copied(table):
        names, values = (", ".join(part) for part in zip(*copied.items(), strict=True))
        keys = ", ".join(column.name for column in table.key)
        statements["insert"] = [
            table.statement(f"INSERT INTO {table.name} ({names}) SELECT {values} {rows} RETURNING {keys}")
        ]
    return Application(None, statements)


def _written(table: Table) -> Column | None:
    writable = [column for column in table.columns if not column.generated and column.identity != "a"]
    return min(writable, key=lambda column: column.key is not None, default=None)


def _copied(table: Table) -> dict[str, str] | None:
    """What an INSERT that copies a row gives to each column, or None where no value can be invented for a unique index."""
    values = {column.name: column.name for column in table.columns if not column.generated and not column.counted}
    for index in {index for column in table.columns for index in column.unique_in}:
        looked_at = [column for column in table.columns if index in column.unique_in]
        if any(column.counted for column in looked_at):
            continue
        free = [column for column in looked_at if not column.refers and not column.generated]
        invented = {column.name: column.invented for column in free if column.invented}
        if not invented:
            return None
        name, value = next(iter(invented.items()))
        values[name] = value
    return values


def read(folder: Path, name: str, table: Table) -> Application:
    """The application of ``app/NAME.sql`` in a project's folder.

    Raises UserError where there is no such file, or it can't be read as this module's head says.
    """
    file = folder / "app" / f"{name}.sql"
    if not re.fullmatch(r"[\w-]+", name) or not file.is_file():
        there = ", ".join(sorted(path.stem for path in file.parent.glob("*.sql")))
        raise UserError(
            f"There is no app/{name}.sql in this project, which would say what the application's version {name} does. "
            + (f"It has {there}." if there else "It has no folder app with such files.")
        )
    text = file.read_text(encoding="utf-8-sig")
    marks = list(MARK.finditer(text))
    if re.sub(r"--.*", "", text[: marks[0].start() if marks else None]).strip() or not marks:
        raise UserError(
            f"app/{name}.sql must introduce each statement with a line of its own: -- read, -- write or -- insert."
        )
    statements: dict[str, list[Statement]] = {}
    for mark, end in zip(marks, [*(mark.start() for mark in marks[1:]), len(text)], strict=True):
        line = text[: mark.start()].count("\n") + 1
        where = f"app/{name}.sql, line {line}"
        statement = _statement(text[mark.end() : end], table, where)
        if mark[1] == "insert" and not re.search(r"\breturning\b", statement.sql, re.I):
            keys = ", ".join(column.name for column in table.key)
            raise UserError(f"{where}: an insert must end in RETURNING {keys}, by which its row is deleted in the end.")
        statements.setdefault(mark[1], []).append(statement)
    return Application(name, statements)


def _statement(sql: str, table: Table, where: str) -> Statement:
    names = [column.bare for column in table.key]
    used: list[int] = []

    def number(match: re.Match[str]) -> str:
        placeholder = match["placeholder"]
        if placeholder is None:
            return match.group()
        if placeholder not in names:
            known = ", ".join(f":{name}" for name in names)
            raise UserError(
                f"{where}: there is no value for :{placeholder}. The primary key of {table.name} gives {known}."
            )
        index = names.index(placeholder)
        if index not in used:
            used.append(index)
        return f"${used.index(index) + 1}"

    numbered = TOKEN.sub(number, sql).strip().rstrip(";").rstrip()
    if not numbered:
        raise UserError(f"{where}: a statement is missing after this line.")
    return Statement(numbered, used)
