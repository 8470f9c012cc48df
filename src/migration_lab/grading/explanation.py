"""What a failed Alembic command means, for any exercise: the mistakes that everybody makes, explained in one place.

An exercise's own ``explain`` comes first, where it has something to say. What is said here has been looked up: in the files,
in the database, in what x-ray saw. Where nothing was found, nothing is said.
"""

from __future__ import annotations

import ast
import builtins
import codecs
import importlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from migration_lab.pictures import Schema, Table, snapshot
from migration_xray.errors import AlembicError
from migration_xray.trace import Statement, Transaction
from migration_xray.words import listed, nearest

from .scripts import LONGEST, VERSIONS, Script, doubles, mentions, overlooked, scripts

if TYPE_CHECKING:
    from .graded import Graded

ID_LENGTH = 32  # characters of alembic_version.version_num
SHOWN = 100  # letters of a statement or a line in a message
IMPORTS = {
    "sa": "import sqlalchemy as sa",
    "op": "from alembic import op",
    "sqlalchemy": "import sqlalchemy",
    "context": "from alembic import context",
    "postgresql": "from sqlalchemy.dialects import postgresql",
    "text": "from sqlalchemy import text",
}
PYTHONS_OWN = {"true": "True", "false": "False", "null": "None", "none": "None", "NULL": "None"}
MAKES = r"\b(create|add|rename)\b"

# libpq's and psycopg's words for a session that ended without a word from the server, which is no error of SQL.
LOST = re.compile("connection (is|was|has been) (closed|lost)|closed the connection|consuming input failed")

# Sessions in a database that are not the lab's own.
OTHERS = """
    SELECT DISTINCT application_name, CASE WHEN relation IS NULL THEN '' ELSE relation::regclass::text END, mode
    FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE datname = current_database() AND backend_type = 'client backend' AND granted
        AND application_name <> ALL (ARRAY['migration-lab', 'x-ray']) AND NOT starts_with(application_name, 'traffic ')
        AND locktype = 'relation' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND mode <> 'AccessShareLock'
    ORDER BY 2"""


def explanation(error: AlembicError, db: Graded) -> str | None:
    """What a command's error means and what to do about it, as far as that can be seen; else None."""
    if error.sqlstate:
        return _of_the_server(error, db)
    explained = _of_the_files(error, db.project) or _of_alembic(error, db) or _of_python(error, db.project)
    return explained or _of_a_lost_session(error, db)


def leftover(session: psycopg.Connection) -> str | None:
    """In a sentence, the session that a migration has left open in the database, with its strongest lock on a table."""
    for _, relation, mode in session.execute(OTHERS).fetchall():
        return f"A session that your migration opened is still open, and holds {mode} on {relation}."
    return None


def search_path(session: psycopg.Connection) -> str | None:
    """A search_path that a migration has set for the database."""
    found = session.execute(
        "SELECT setting FROM pg_db_role_setting, unnest(setconfig) AS s(setting) WHERE setting LIKE 'search_path=%'"
        " AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())"
    ).fetchone()
    return (
        f"Every new session of this database has {found[0]} now, and finds no other schema's tables." if found else None
    )


def quoted(error: AlembicError) -> str:
    """An error as it was said, indented below a sentence about it."""
    return "\n".join(f"  {line}" for line in str(error).splitlines())


def listing(found: Iterable[object]) -> str:
    """What was found, one below the other, below a sentence about it."""
    return "".join(f"\n  - {one}" for one in found)


def below(sentence: str | None) -> str:
    """One more sentence below a message, or nothing."""
    return "".join(f"\n  {line}" for line in (sentence or "").splitlines())


# --- The files --------------------------------------------------------------------------------------------------------


def _of_the_files(error: AlembicError, project: Path) -> str | None:
    """A file that Python can't read as text, or as Python."""
    if not re.match(r"(SyntaxError|IndentationError|TabError|UnicodeDecodeError|ValueError)\b", error.sentence):
        return None
    named = re.match(r"(.+), line \d+$", error.where or "")  # env.py, where Alembic met a file that it could not read
    files = [*([project / named[1]] if named else []), *sorted((project / VERSIONS).glob("*.py"))]
    for file in files:
        if file.is_file() and file.stat().st_size <= LONGEST and (why := _unreadable(file)):
            return why
    return None


def _unreadable(file: Path) -> str | None:
    content = file.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return f"{file.name} is saved as UTF-16. Python reads UTF-8: save the file in that encoding."
    if b"\0" in content:
        line = content[: content.index(b"\0")].count(b"\n") + 1
        return f"{file.name} has a null byte in line {line}. Write the line anew, and save the file as UTF-8."
    try:
        ast.parse(content)
    except SyntaxError as error:
        if "codec" in (error.msg or "") or "encoding" in (error.msg or ""):
            return _not_utf8(file.name, content)
        return _caret(content, error)
    return None


def _not_utf8(name: str, content: bytes) -> str | None:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line, byte = content[: error.start].count(b"\n") + 1, content[error.start : error.start + 1]
        return (
            f"{name} is not saved as UTF-8: line {line} has the byte 0x{byte.hex()}, which would be {byte.decode('latin-1')!r} "
            "in latin-1. Save the file as UTF-8."
        )
    return None


def _caret(content: bytes, error: SyntaxError) -> str | None:
    """The line at which Python stopped, with a mark below the place."""
    if not error.lineno or not error.offset:
        return None
    lines = content.decode("utf-8-sig", errors="replace").splitlines()
    if error.lineno > len(lines) or len(line := lines[error.lineno - 1].expandtabs(1)) > SHOWN:
        return None
    why = ""
    if isinstance(error, TabError):
        why = "\nThe lines of this block begin with tabs here and with blanks there. Use four blanks everywhere."
    elif isinstance(error, IndentationError):
        why = "\nPython tells blocks by how far their lines are indented. Use four blanks for each level."
    return f"Python stopped here, in line {error.lineno}:\n  {line}\n  {' ' * (error.offset - 1)}^{why}"


# --- Alembic's own errors ---------------------------------------------------------------------------------------------


def _of_alembic(error: AlembicError, db: Graded) -> str | None:
    """What is wrong with the chain of revisions, or with a file as a revision."""
    said, found = error.sentence, scripts(db.project)
    if key := re.match(r"KeyError: (.+)", said):
        return _dangling(key[1].strip("'\""), found)
    for revision, files in doubles(db.project).items():
        if "present more than once" in error.printed or revision in said:
            return f"{listed(files)} have the same revision, {revision!r}. Each file needs one of its own."
    if "Multiple head" in said:
        return _heads(found)
    if re.match(r"FAILED: (Dependency )?(cycle|self-loop)", said, re.IGNORECASE):
        return _circle(said, found)
    if name := re.search(r"Could not determine revision id from filename (\S+\.py)", said):
        return _no_identifiers(name[1], db.project)
    if missing := re.search(r"locate revision identified by '([^']+)'", said):
        known = listed(sorted(_ids(found)))
        unseen = overlooked(db.project, set(db.given))
        return unseen or f"No file in migrations/versions has the revision {missing[1]!r}. There are {known}."
    if attribute := re.match(r"AttributeError: module '(\w+)' has no attribute '(\w+)'", said):
        return _missing_name(attribute[1], attribute[2], found)
    if "not a valid downgrade target" in said:
        return _looked_up(db, search_path)
    if "expected to match one row" in said and (file := mentions(db.project, db.given, "alembic_version")):
        return f"Alembic keeps account of revisions in the table alembic_version. {file} writes to it: leave it to Alembic."
    return None


def _dangling(key: str, found: list[Script]) -> str | None:
    """A down_revision that is in no file: which file says it, and what it may mean."""
    known = _ids(found)
    says = [script for script in found if script.down and key in script.down]
    if not says or key in known:
        return None
    if "," in key and known.issuperset(re.findall(r"[\w.-]+", key)):
        parents = ", ".join(map(repr, re.findall(r"[\w.-]+", key)))
        return (
            f"{says[0].file} has several parents in one text. They are a tuple of texts: down_revision = ({parents})."
        )
    if known == {says[0].revision}:
        return (
            f"{says[0].file} says down_revision = {key!r}, and there is no other revision. The first revision of all follows "
            "nothing: down_revision = None."
        )
    by_file = next((one for one in found if Path(one.file).stem == key.removesuffix(".py")), None)
    if by_file and by_file.revision:
        return (
            f"{says[0].file} says down_revision = {key!r}, which is the name of a file. down_revision takes the revision "
            f"that is written in the file: {by_file.revision!r}."
        )
    near = nearest(key, sorted(known - {says[0].revision or ""}))
    return (
        f"{says[0].file} says down_revision = {key!r}, and no file in migrations/versions has that revision. "
        f"There are {listed(sorted(known))}.{near}"
    )


def _heads(found: list[Script]) -> str | None:
    followed = {parent for script in found for parent in script.down or ()}
    heads = [script for script in found if script.revision and script.revision not in followed]
    if len(heads) < 2:
        return None
    ends = [f"{script.file} (down_revision = {_shown_down(script)})" for script in heads]
    return f"No file follows {listed(ends)}, so there are {len(heads)} heads, and `head` means one."


def _circle(said: str, found: list[Script]) -> str | None:
    names = re.findall(r"\(([^)]*)\)", said)
    chain = {name.strip() for name in (names[-1].split(",") if names else [])}
    says = [f"{one.file} follows {_shown_down(one)}" for one in found if one.revision in chain]
    if len(says) == 1:
        return f"{says[0]}, which is its own revision. down_revision names the one before it."
    return f"{listed(says)}. One of them has to follow a revision outside of this circle." if says else None


def _no_identifiers(name: str, project: Path) -> str:
    file = project / VERSIONS / name
    if file.is_file() and not file.read_bytes().strip():
        return f"{name} is empty."
    return (
        f"{name} does not assign `revision`. A revision file says its own id, and in `down_revision` the one before it."
    )


def _missing_name(module: str, name: str, found: list[Script]) -> str | None:
    script = next((one for one in found if one.module == module), None)
    if script is None or name in script.names:
        return None
    if name in ("upgrade", "downgrade"):
        return f"{script.file} has no function {name}().{nearest(name, script.names)}"
    return f"{script.file} does not assign `{name}`.{nearest(name, script.names)}"


def _ids(found: Iterable[Script]) -> set[str]:
    return {script.revision for script in found if script.revision}


def _shown_down(script: Script) -> str:
    if script.down is None:
        return "something that is computed"
    return " and ".join(map(repr, script.down)) or "None"


# --- Python's errors --------------------------------------------------------------------------------------------------


def _of_python(error: AlembicError, project: Path) -> str | None:
    said, script = error.sentence, _script_at(error, project)
    if name := re.match(r"NameError: name '(\w+)' is not defined", said):
        return _unknown_name(name[1], script)
    if name := re.match(r"ModuleNotFoundError: No module named '([\w.]+)'", said):
        return _unknown_module(name[1], project)
    if attribute := re.match(r"AttributeError: module '(alembic\.op|sqlalchemy[\w.]*)' has no attribute '(\w+)'", said):
        return (
            f"{attribute[1]} has no {attribute[2]}.{nearest(attribute[2], dir(importlib.import_module(attribute[1])))}"
        )
    return None


def _unknown_name(name: str, script: Script | None) -> str | None:
    if script is None or name in script.names:
        return None
    if name in IMPORTS:
        return f"{script.file} does not import {name}. Add this line at its top: `{IMPORTS[name]}`."
    if name in PYTHONS_OWN:
        return f"Python writes {PYTHONS_OWN[name]}, not {name}."
    near = nearest(name, [*script.names, *dir(builtins)])
    return f"Nothing in {script.file} defines {name}.{near}"


def _unknown_module(name: str, project: Path) -> str:
    if name.partition(".")[0] in ("psycopg2", "psycopg2_binary", "asyncpg", "pg8000"):
        return "The lab's driver for PostgreSQL is psycopg, version 3. In a migration, `op.execute()` is enough."
    own = {file.stem for file in project.glob("*.py")} | {file.parent.name for file in project.glob("*/__init__.py")}
    near = nearest(name, {"sqlalchemy", "alembic", "psycopg", *own})
    return f"There is neither a package {name} in the lab's Python nor such a module in the project.{near}"


def _script_at(error: AlembicError, project: Path) -> Script | None:
    file = (error.where or "").rpartition(", line ")[0]
    return next((script for script in scripts(project) if script.file == file), None)


def _of_a_lost_session(error: AlembicError, db: Graded) -> str | None:
    if LOST.search(error.sentence) and (file := mentions(db.project, db.given, r"\bfork\b|multiprocessing")):
        return f"{file} forks its process. The child has the same session, and two processes can't share one."
    return None


# --- The server's errors ----------------------------------------------------------------------------------------------


def _of_the_server(error: AlembicError, db: Graded) -> str | None:
    code, names = error.sqlstate, re.findall(r'"([^"]+)"', error.sentence.splitlines()[0])
    failed, transaction = _failed(error)
    if code == "22001":
        return _too_long(failed, db.project)
    if code in ("42P07", "42701", "42710", "42723", "42P06") and names:
        return _there_already(names, failed, error, db)
    if code in ("42P01", "42703", "3F000"):
        return _looked_up(db, search_path) or _not_there(names, error, db)
    if code == "55P03":
        return _whose_lock(failed, transaction, error, db)
    if code == "57014" and failed:
        return _ended(failed)
    if code == "25P02":
        return _goes_on_after_an_error(error)
    return _by_code(code or "", names)


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
    if failed is None or "alembic_version" not in failed.sql:
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
            return f"It was made earlier in the same command, {_place(statement)}: `{_short(statement.sql)}`."
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
        if owner in now.tables:
            return f"{owner} has the columns {listed(now.tables[owner].columns)}.{nearest(column[2], now.tables[owner].columns)}"
        return None
    if not names or error.sqlstate == "3F000":
        return None
    if names[0] == "alembic_version":
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


def _without_its_table(error: AlembicError) -> str | None:
    """What kept Alembic from finding its own table at the end of a revision."""
    for statement in reversed(error.trace.statements if error.trace else []):
        if re.search(r"drop\s+schema|alembic_version|search_path|set\s+role", statement.sql, re.IGNORECASE):
            return (
                f"Alembic's own table was not found after a statement {_place(statement)}: `{_short(statement.sql)}`."
            )
    return None


def _whose_lock(
    failed: Statement | None, transaction: Transaction | None, error: AlembicError, db: Graded
) -> str | None:
    """Who held the lock that a statement waited for in vain, as far as that was seen."""
    if db.in_the_way:
        return f"The check had a transaction open meanwhile, as an application may: `{_short(db.in_the_way)}`."
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
    return _looked_up(db, leftover)


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


def _looked_up(db: Graded, what: Callable[[psycopg.Connection], str | None]) -> str | None:
    try:
        return what(db.session)
    except psycopg.Error:
        return None


def _text(db: Graded, script: Script) -> str:
    return (db.project / script.file).read_text(encoding="utf-8", errors="replace")


def _place(statement: Statement) -> str:
    return f"in {statement.where.replace(':', ', line ')}" if statement.where else "by env.py"


def _short(sql: str) -> str:
    line = " ".join(sql.split())
    return line if len(line) <= SHOWN else f"{line[:SHOWN]} …"
