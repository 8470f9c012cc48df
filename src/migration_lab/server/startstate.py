"""Start states: the databases that lessons and exercises begin from, kept as templates to clone.

A template database is built once per server and role. Its name carries a digest of everything that built it, so that
a changed start state builds anew and a stale one is never used.
https://www.postgresql.org/docs/18/manage-ag-templatedbs.html
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from psycopg import Connection, Error, sql
from psycopg.errors import InsufficientPrivilege, ObjectInUse

from migration_lab.files import content_digest, copy_into
from migration_lab.paths import PACKAGE
from migration_xray.errors import UserError, sqlstate

from .postgres import Server, environment

DISK_FULL = "53100"
ROWS = {
    "empty": {},
    "small": {"users": 1_000, "products": 1_000, "orders": 1_000},
    "large": {"users": 100_000, "products": 2_000, "orders": 300_000},
    "unseen": {"users": 1_013, "products": 1_009, "orders": 1_021},  # small with other rows, for grading
}


def lay_project(folder: Path, start: str, project: str = "project") -> None:
    """Fill a folder with an Alembic project of the kit's, and the shop's revisions unless the start state is empty."""
    copy_into(folder, PACKAGE / project)
    versions = folder / "migrations" / "versions"
    versions.mkdir(exist_ok=True)
    if ROWS[start]:
        (folder / "app").mkdir(exist_ok=True)  # for the application's statements, which %%traffic --app reads
        copy_into(versions, PACKAGE / "shop" / "migrations" / "versions")


def create_database(server: Server, name: str, start: str) -> None:
    """Make a database at a start state; one of that name, with its sessions, is dropped first."""
    with patient(server) as session:
        create_by(session, server, name, start)


def create_by(session: Connection, server: Server, name: str, start: str) -> None:
    """Do what ``create_database`` does through a patient session that is open already."""
    template = _template(session, server, start)
    drop_database(session, name)
    command = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    session.execute(command.format(sql.Identifier(name), sql.Identifier(template)))


def drop_database(session: Connection, name: str) -> None:
    """Drop a database and end the sessions in it; an application that reconnects at once is ended again."""
    drop = sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name))
    own = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = current_user"
    if session.execute("SELECT 1 FROM pg_database WHERE datname = %s AND datistemplate", [name]).fetchone():
        session.execute(
            sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(sql.Identifier(name))
        )  # else it is refused
    for attempt in range(5):
        try:
            try:
                session.execute(drop + sql.SQL(" WITH (FORCE)"))
            except InsufficientPrivilege:
                # FORCE may not end a worker of autovacuum, which is a superuser's. A plain DROP sends it away.
                session.execute(own, [name])
                session.execute(drop)
            return
        except ObjectInUse:
            if attempt == 4:
                raise


def ensure_template(server: Server, start: str) -> str:
    """The name of the template database of a start state, which is built now if the server has none."""
    with patient(server) as session:
        return _template(session, server, start)


def _template(session: Connection, server: Server, start: str) -> str:
    if start == "empty":
        return "template0"
    name = template_name(start, session.info.user)
    if not _exists(session, name):
        with _building(session, name):
            if not _exists(session, name):
                _build(server, session, name, start)
                if server.kind == "embedded":
                    _drop_outdated(session, name, start)
    return name


def patient(server: Server, database: str | None = None, **options: Any) -> Connection:
    """A session whose statements may take their time, however little the role or PGOPTIONS give to others."""
    session = server.connect(database, **options)
    session.execute("SET statement_timeout = 0; SET lock_timeout = 0")
    return session


def template_name(start: str, role: str) -> str:
    """A name for all that makes a template what it is; a role may neither clone nor migrate what another one owns."""
    built_by = [content_digest(PACKAGE / "shop" / "migrations"), content_digest(_data(start))]
    built_by += [content_digest(PACKAGE / "project"), repr(ROWS[start]), role]
    digest = hashlib.sha256("\n".join(built_by).encode()).hexdigest()
    return f"shop_{start}_{digest[:8]}"


@contextmanager
def _building(session: Connection, name: str) -> Iterator[None]:
    """Hold the right to build a template; other sessions on this server, of any workspace, wait for it."""
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
    session.execute("SELECT pg_advisory_lock(%s)", [key])
    try:
        yield
    finally:
        with suppress(Error):  # a session that is lost holds nothing any more
            session.execute("SELECT pg_advisory_unlock(%s)", [key])


def _build(server: Server, session: Connection, name: str, start: str) -> None:
    """Build under another name and rename at the end: a template that exists is whole."""
    if start == "large":
        rows = ROWS[start]
        print(f"Building the large start state ({rows['orders']:,} orders): some seconds, once …", flush=True)
    making = f"{name}_making"
    drop_database(session, making)
    session.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(making)))
    try:
        _migrate(server, making, start)
        _load(server, making, start)
        session.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(making), sql.Identifier(name)))
    except BaseException as error:
        with suppress(Error, UserError):  # why it failed is the thing to tell; what is left, the next build drops
            if sqlstate(error) == DISK_FULL:
                _empty(server, making)
            else:
                drop_database(session, making)
        raise
    # Nobody may connect to it: a session in a template keeps it from being cloned.
    session.execute(
        sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)),
    )


def _drop_outdated(session: Connection, name: str, start: str) -> None:
    """Drop what an earlier version of the course began from, on a server that no other version uses."""
    others = "SELECT datname FROM pg_database WHERE datname ~ %s AND datname <> %s ORDER BY 1"
    for (outdated,) in session.execute(others, [f"^shop_{start}_[0-9a-f]{{8}}$", name]).fetchall():
        drop_database(session, outdated)


def _empty(server: Server, making: str) -> None:
    """Give back the room of a build. To drop it takes a checkpoint, and one without room ends the server for everybody."""
    with server.connect(making) as half:
        half.execute("DROP SCHEMA public CASCADE")


def _migrate(server: Server, database: str, start: str) -> None:
    from migration_xray import command

    with tempfile.TemporaryDirectory() as folder:
        lay_project(Path(folder), start)
        with variables(environment(server.database_url(database))):
            command.run(["-c", str(Path(folder) / "alembic.ini"), "upgrade", "head"], Path(folder), io.StringIO())


def _load(server: Server, database: str, start: str) -> None:
    script = _data(start).read_text(encoding="utf-8")
    for table, count in ROWS[start].items():
        script = script.replace(f":{table}", str(count))
    with patient(server, database) as session:
        session.execute(script)
        # Frozen and analyzed, so that every clone begins with the same plans and owes no vacuum.
        session.execute("VACUUM (FREEZE, ANALYZE)")


def _data(start: str) -> Path:
    """The SQL file that inserts a start state's rows."""
    return PACKAGE / "shop" / ("unseen.sql" if start == "unseen" else "data.sql")


def _exists(session: Connection, name: str) -> bool:
    return session.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is not None


@contextmanager
def variables(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
