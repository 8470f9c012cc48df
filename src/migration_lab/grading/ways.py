"""By which ways a rule is broken. What stops an INSERT may let a COPY pass, or exempt the rows that were there before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import psycopg
from psycopg import sql

from migration_xray.words import listed

from .graded import Graded, NotYet
from .outage import SERVERS
from .probes import identifier

Row = Mapping[str, Any]  # column → value
Write = Callable[[], Any]
ENOUGH = 1_000  # rows that were there before, spread over all of them
WRITTEN = sql.SQL("xmin = pg_current_xact_id()::xid")  # by this transaction
# Whether a statement changes the row at a place ($1), deferred constraints included; the change is taken back.
TAKES = """
    CREATE FUNCTION pg_temp.takes(statement text, place tid) RETURNS boolean LANGUAGE plpgsql AS $$
    DECLARE
        changed integer;
    BEGIN
        EXECUTE statement USING place;
        GET DIAGNOSTICS changed = ROW_COUNT;
        SET CONSTRAINTS ALL IMMEDIATE;
        RAISE EXCEPTION USING ERRCODE = 'LAB00', MESSAGE = changed;
    EXCEPTION
        WHEN SQLSTATE 'LAB00' THEN RETURN SQLERRM::integer > 0;
        WHEN OTHERS THEN RETURN false;
    END $$"""


def ways_in(db: Graded, table: str, bad: Row, row: Row) -> str:
    """The ways by which values that a rule forbids get into a table, in words; "" where none lets them in.

    ``row`` is one that keeps the rule; with the values of ``bad`` it does not. An INSERT, a COPY, an UPDATE of a new row and
    one of each row that was there before are tried, and rolled back. Raises NotYet where ``row`` itself is refused.
    """
    if refused := db.refused(lambda: _insert(db, table, row)):
        values = ", ".join(f"{column} {value}" for column, value in row.items())
        raise NotYet(f"{table} refuses a row that should be taken ({values}): {refused.diag.message_primary}.")
    ways = [way for way, write in _writes(db, table, bad, row).items() if db.refused(write) is None]
    if old := _old_rows_taken(db, table, bad):
        ways.append(old)
    return listed(ways)


def text_fault(db: Graded, table: str, column: str, length: int, row: Row) -> str:
    """What is wrong with a column that is to take texts of up to so many characters, in words; "" where it does.

    A type keeps that rule, or a CHECK. ``row`` has the values of the other columns. Raises NotYet where even a short text is
    refused: that may have any reason.
    """

    def refused(text: str) -> psycopg.Error | None:
        return db.refused(lambda: _insert(db, table, {**row, column: text}))

    if db.schema.tables[table].columns[column].type.startswith("character("):
        return "fills a shorter text up with blanks"
    if error := refused("a"):
        raise NotYet(f"{table} refuses a row that should be taken, {column} 'a': {error.diag.message_primary}.")
    if refused("ä" * length):
        return f"refuses a text of {length} characters"
    return "" if refused("ä" * (length + 1)) else f"takes a text of {length + 1} characters"


def ways_past(db: Graded, table: str, values: Row, row: Row, rule: str) -> str:
    """The ways by which values are written so that the written row does not keep a rule, in words; "" where all do.

    This is for what a trigger does: ``ways_past(db, "orders", {"total": 77}, row, "amount = 77")``. The ways are those of
    :func:`ways_in`, and ``row`` is a row as it may be before an UPDATE. A write that is refused does not keep the rule.
    """
    kept = sql.SQL("SELECT count(*) > 0 AND bool_and(coalesce({}, false)) FROM {} WHERE {}").format(
        sql.SQL(rule),
        identifier(table),
        WRITTEN,
    )
    ways = []
    writes = _writes(db, table, values, row)
    if keys := _old_keys(db, table):
        writes["an UPDATE of the rows that were there before"] = lambda: _update(
            db, table, values, _is_old(db, table, keys)
        )
    for way, write in writes.items():
        holds: list[bool] = []

        def look(write: Write = write, holds: list[bool] = holds) -> None:
            write()
            [(value,)] = db.session.execute(kept)
            holds.append(value)

        if refused := db.refused(look):
            ways.append(f"{way} (refused: {refused.diag.message_primary})")
        elif not holds[0]:
            ways.append(way)
    return listed(ways)


def ways_to_orphan(db: Graded, table: str, column: str, parent: str, row: Row, parent_row: Row, key: str = "id") -> str:
    """The ways by which a row comes to point at a row of the parent's that is not there, in words; "" where there is none.

    Besides :func:`ways_in`, a DELETE of a parent and a change of its key are tried. ``row`` points at a parent that is there;
    ``parent_row`` is a parent that may be inserted. Raises NotYet where a row that points at a new parent is refused.
    """
    names = {"column": sql.Identifier(column), "key": sql.Identifier(key)}
    tables = {"table": identifier(table), "parent": identifier(parent)}
    nobody = db.value(sql.SQL("SELECT max({key}) + 1000 FROM {parent}").format(**names, **tables))
    ways = [way] if (way := ways_in(db, table, {column: nobody}, row)) else []
    changes = {
        f"a DELETE of the row of {parent}": sql.SQL("DELETE FROM {parent} WHERE {key} = %s"),
        f"an UPDATE of {parent}.{key}": sql.SQL("UPDATE {parent} SET {key} = {key} + 2000 WHERE {key} = %s"),
    }
    for way, change in changes.items():
        with db.session.transaction(force_rollback=True):
            _insert(db, parent, parent_row)
            [(new,)] = db.session.execute(
                sql.SQL("SELECT {key} FROM {parent} WHERE {written}").format(**names, **tables, written=WRITTEN)
            )
            try:
                _insert(db, table, {**row, column: new})
            except psycopg.Error as refused:
                raise NotYet(
                    f"{table} refuses a row whose {column} is that of a new row of {parent}: "
                    f"{refused.diag.message_primary}."
                ) from None
            left = sql.SQL("SELECT count(*) FROM {table} WHERE {column} = %s").format(**names, **tables)

            def orphaned(change: sql.SQL = change, left: sql.Composed = left, new: Any = new) -> bool:
                db.session.execute(change.format(**names, **tables), [new])
                db.session.execute("SET CONSTRAINTS ALL IMMEDIATE")
                [(count,)] = db.session.execute(left, [new])
                return count > 0

            try:
                if orphaned():
                    ways.append(way)
            except psycopg.Error as refused:
                if SERVERS.match(refused.sqlstate or ""):
                    raise
    return listed(ways)


def _writes(db: Graded, table: str, values: Row, row: Row) -> dict[str, Write]:
    """How a row with these values may come into a table, way → what does it."""

    def update() -> None:
        _insert(db, table, row)
        _update(db, table, values, WRITTEN)

    return {
        "an INSERT": lambda: _insert(db, table, {**row, **values}),
        "a COPY": lambda: _copy(db, table, {**row, **values}),
        "an UPDATE of a new row": update,
    }


def _insert(db: Graded, table: str, row: Row) -> None:
    db.session.execute(
        sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(identifier(table), _names(row), _values(row)),
    )


def _copy(db: Graded, table: str, row: Row) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(identifier(table), _names(row))
    with db.session.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write_row(list(row.values()))


def _update(db: Graded, table: str, values: Row, where: sql.Composable) -> None:
    db.session.execute(sql.SQL("UPDATE {} SET {} WHERE {}").format(identifier(table), _set(values), where))


def _old_rows_taken(db: Graded, table: str, bad: Row) -> str | None:
    """An UPDATE of rows that were there before, in words, where one of them takes the values; each is tried by itself."""
    keys = _old_keys(db, table)
    if not keys:
        return None
    has_them = sql.SQL(" AND ").join(
        sql.SQL("{} IS NOT DISTINCT FROM {}").format(sql.Identifier(column), value) for column, value in bad.items()
    )
    statement = sql.SQL("UPDATE {} SET {} WHERE ctid = $1").format(identifier(table), _set(bad)).as_string(db.session)
    with db.session.transaction(force_rollback=True):
        db.session.execute(TAKES)
        taken = db.session.execute(
            sql.SQL(
                "WITH old AS MATERIALIZED (SELECT ctid AS place, {key} AS key FROM {table} WHERE {old} AND NOT ({has_them}))"
                " SELECT key, count(*) OVER () FROM old WHERE pg_temp.takes({statement}, place)"
            ).format(
                key=_key(db, table),
                table=identifier(table),
                old=_is_old(db, table, keys),
                has_them=has_them,
                statement=statement,
            )
        ).fetchall()
    if not taken:
        return None
    instance = f"{listed(db.before.content[table].key)} {taken[0][0]}"
    return f"an UPDATE of rows that were there before ({len(taken):,} of {len(keys):,} tried, for instance {instance})"


def _old_keys(db: Graded, table: str) -> list[str]:
    """The keys of rows that were there before, at most ENOUGH, spread over all; [] where the table or its key was not there."""
    content = db.before.content.get(table)
    if content is None or not content.has_key or not set(content.key) <= set(db.schema.tables[table].columns):
        return []
    keys = [b", ".join(filter(None, key)).decode() for key in content.texts(content.key)]
    return keys[:: -(-len(keys) // ENOUGH)] if keys else []


def _key(db: Graded, table: str) -> sql.Composed:
    columns = map(sql.Identifier, db.before.content[table].key)
    return sql.SQL("concat_ws(', ', {})").format(sql.SQL(", ").join(columns))


def _is_old(db: Graded, table: str, keys: list[str]) -> sql.Composed:
    return sql.SQL("{} = ANY ({})").format(_key(db, table), keys)


def _names(row: Row) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, row))


def _values(row: Row) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Literal, row.values()))


def _set(values: Row) -> sql.Composed:
    return sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(column), value) for column, value in values.items()
    )
