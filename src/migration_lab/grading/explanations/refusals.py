"""What PostgreSQL refuses, and what it is about: by the server's code, x-ray's trace and the database."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from migration_lab.pictures import Schema, Table, snapshot
from migration_xray.errors import AlembicError
from migration_xray.trace import Statement, Transaction
from migration_xray.words import listed, nearest

from .leftovers import leftover, looked_up, search_path
from .scripts import Script, scripts
from .wording import several, short

if TYPE_CHECKING:
    from ..graded import Graded

VERSIONS_TABLE = "alembic_version"
ID_LENGTH = 32  # characters of alembic_version.version_num
MAKES = r"\b(create|add|rename)\b"


def of_the_server(error: AlembicError, db: Graded) -> str | None:
    code, names = error.sqlstate, re.findall(r'"([^"]+)"', error.sentence.splitlines()[0])
    failed, transaction = _failed(error)
    if code == "22001":
        return _too_long(failed, db.project)
    if code in ("42P07", "42701", "42710", "42723", "42P06") and names:
        return _there_already(names, failed, error, db)
    if code in ("42P01", "42703", "3F000"):
        return looked_up(db, search_path) or _not_there(names, error, db)
    if code == "55P03":
        return _whose_lock(failed, transaction, error, db)
    if code == "57014" and failed:
        return _ended(failed)
    if code == "25001" and failed and (more := several(failed.sql)):
        return more
    if code == "23503" and error.sentence.startswith("ForeignKeyViolation: update or delete"):
        return "The statement would take away a row to which others refer: the server's DETAIL names both."
    if code == "2BP01" and "requires it" in error.sentence:
        return "The index belongs to the constraint. Drop the constraint, and its index goes along."
    if code == "25P02":
        return _goes_on_after_an_error(error)
    return _by_code(code or "", names)


def at_alembics_table(error: Exception) -> bool:
    """Whether a command ended at a statement about Alembic's own table, which has no rows of anybody's."""
    failed = _failed(error)[0] if isinstance(error, AlembicError) else None
    return failed is not None and VERSIONS_TABLE in failed.sql


def _by_code(code: str, names: list[str]) -> str | None:
    """What follows from the server's code alone, with the name that its sentence gives."""
    name = names[0] if names else None
    return {
        "23502": name and f"There would be rows without a value in {name}, and {name} is NOT NULL.",
        "23505": "The server found the same key twice, where the constraint or the index allows it once: its DETAIL names one.",
        "23503": "The server found a row whose foreign key leads to no row: its DETAIL names one.",
        "23514": name and "The server found rows that break the check. Look for them with a SELECT before you add it.",
        "25001": "Alembic runs a revision in a transaction, and this statement can't run in one. `autocommit_block()` leaves it.",
        "42804": "PostgreSQL has no automatic cast between these types: its HINT says what to write.",
        "22P02": "A cast ends at the first value that it can't read: the server's sentence has that value.",
        "2BP01": "Other things use what the statement drops: the server's DETAIL names them. CASCADE would drop those too.",
        "42601": "PostgreSQL can't read this statement as SQL: its sentence names the place.",
    }.get(code)


def _too_long(failed: Statement | None, project: Path) -> str | None:
    if failed is None or VERSIONS_TABLE not in failed.sql:
        return "A value is longer than its column's type allows."
    for script in scripts(project):
        if script.revision and len(script.revision) > ID_LENGTH:
            return (
                f"The revision {script.revision!r} has {len(script.revision)} characters, and alembic_version.version_num "
                f"holds {ID_LENGTH}. Choose a shorter one."
            )
    return None


def _there_already(names: list[str], failed: Statement | None, error: AlembicError, db: Graded) -> str | None:
    """Where that was made which the statement was to make once more."""
    name, owner = names[0], names[1] if len(names) > 1 else None
    for statement in error.trace.statements if error.trace else []:
        if statement is not failed and statement.error is None and _makes(statement.sql, name, owner):
            return f"It was made earlier in the same command, {_place(statement)}: `{short(statement.sql)}`."
    if _has(db.start, name, owner):
        return "It was there when the exercise began."
    if db.given_schema and _has(db.given_schema, name, owner):
        made = [file for file, content in db.given.items() if "/versions/" in file and name.encode() in content]
        return f"{made[-1]} made it." if made else "A revision that came with the exercise made it."
    now = _schema_now(db)
    if now is None or not _has(now, name, owner):
        return None
    if db.went_down:
        return f"It is still there after `{db.went_down}`: that has not taken it away."
    return "It is in the database since an earlier try, which had committed it."


def _makes(sql: str, name: str, owner: str | None) -> bool:
    return all(
        re.search(pattern, sql, re.IGNORECASE)
        for pattern in (MAKES, rf"\b{re.escape(name)}\b", rf"\b{re.escape(owner or name)}\b")
    )


def _has(schema: Schema, name: str, owner: str | None) -> bool:
    tables = [schema.tables[owner]] if owner in schema.tables else list(schema.tables.values())
    parts: list[set[str]] = [_parts(table, columns=owner in schema.tables) for table in tables]
    own = {*schema.tables, *schema.types, *(function.partition("(")[0] for function in schema.functions)}
    return name in own.union(*parts)


def _parts(table: Table, columns: bool) -> set[str]:
    return {*table.constraints, *table.indexes, *table.triggers, *(table.columns if columns else ())}


def _not_there(names: list[str], error: AlembicError, db: Graded) -> str | None:
    """What there is, where a table or a column is not."""
    now = _schema_now(db)
    if now is None:
        return None
    said = error.sentence.splitlines()[0]
    column = re.search(r"column (?:\"?(\w+)\"?\.)?\"?(\w+)\"?", said) if error.sqlstate == "42703" else None
    if column:
        owner = column[1] or (names[1] if len(names) > 1 else None)
        if owner in now.tables and column[2] in now.tables[owner].columns:
            return _taken_away(column[2], error)
        if owner in now.tables:
            return f"{owner} has the columns {listed(now.tables[owner].columns)}.{nearest(column[2], now.tables[owner].columns)}"
        return None
    if not names or error.sqlstate == "3F000":
        return None
    if names[0] == VERSIONS_TABLE:
        return _without_its_table(error)
    maker = next(
        (
            one.file
            for one in scripts(db.project)
            if re.search(rf"create_table\(\s*['\"]{names[0]}['\"]", _text(db, one))
        ),
        None,
    )
    if maker:
        return f"{maker} makes the table {names[0]}. When this statement ran, it was not there."
    tables = f"There are the tables {listed(sorted(now.tables))}" if now.tables else "There is no table"
    return f"{tables} in the database.{nearest(names[0], now.tables)}"


def _taken_away(name: str, error: AlembicError) -> str | None:
    """Which statement of the command had dropped what is there again, after the command was rolled back."""
    for statement in reversed(error.trace.statements if error.trace else []):
        if statement.error is None and re.search(
            rf"\bdrop\b.*\b{re.escape(name)}\b", statement.sql, re.IGNORECASE | re.DOTALL
        ):
            return f"It was taken away earlier in the same command, {_place(statement)}: `{short(statement.sql)}`."
    return None


def _without_its_table(error: AlembicError) -> str | None:
    """What kept Alembic from finding its own table at the end of a revision."""
    for statement in reversed(error.trace.statements if error.trace else []):
        if re.search(r"drop\s+schema|alembic_version|search_path|set\s+role", statement.sql, re.IGNORECASE):
            return f"Alembic's own table was not found after a statement {_place(statement)}: `{short(statement.sql)}`."
    return None


def _whose_lock(
    failed: Statement | None, transaction: Transaction | None, error: AlembicError, db: Graded
) -> str | None:
    """Who held the lock that a statement waited for in vain, as far as that was seen."""
    if db.in_the_way:
        return f"The check had a transaction open meanwhile, as an application may: `{short(db.in_the_way)}`."
    if failed is None or transaction is None:
        return None
    until = failed.at + failed.ms / 1000
    for other in error.trace.transactions if error.trace else []:
        if other is not transaction and other.at <= failed.at and other.at + other.ms / 1000 >= until and other.held:
            whose = "Alembic's own transaction" if any(one.own for one in other.statements) else "another transaction"
            return (
                f"{whose[0].upper()}{whose[1:]} of the same command was open meanwhile, and held {other.held[0].mode} on "
                f"{other.held[0].relation.removeprefix('public.')}. A migration that waits for itself waits in vain: "
                "end that transaction first, as autocommit_block() does."
            )
    return looked_up(db, leftover)


def _ended(failed: Statement) -> str | None:
    waited = failed.lock_wait_ms / 1000
    if waited > failed.ms / 2000:
        return f"The statement took {failed.ms / 1000:.0f} s, and for {waited:.0f} s of them it waited for a lock."
    if re.search(r"\bpg_sleep", failed.sql, re.IGNORECASE):
        return "The statement calls pg_sleep."
    return f"The server ended the statement after {failed.ms / 1000:.0f} s. It was not waiting for a lock."


def _goes_on_after_an_error(error: AlembicError) -> str | None:
    for statement in error.trace.statements if error.trace else []:
        if statement.error and statement.error.sqlstate != "25P02":
            return (
                f"An earlier statement of the transaction had failed, {_place(statement)}: {statement.error.message.rstrip('.')}. "
                "PostgreSQL then refuses every other one until the transaction ends."
            )
    return None


def _failed(error: AlembicError) -> tuple[Statement | None, Transaction | None]:
    """The statement at which a command ended, and its transaction."""
    for transaction in reversed(error.trace.transactions if error.trace else []):
        for statement in reversed(transaction.statements):
            if statement.error and statement.error.sqlstate == error.sqlstate:
                return statement, transaction
    return None, None


def _schema_now(db: Graded) -> Schema | None:
    try:
        return snapshot(db.session)
    except psycopg.Error:
        return None


def _text(db: Graded, script: Script) -> str:
    return (db.project / script.file).read_text(encoding="utf-8", errors="replace")


def _place(statement: Statement) -> str:
    return f"in {statement.where.replace(':', ', line ')}" if statement.where else "by env.py"
