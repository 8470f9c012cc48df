"""A PostgreSQL server to learn on: embedded, in Docker, or one of your own.

``server()`` is the one answer to "which server?": a label and SQLAlchemy URLs for its databases.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migration_lab.errors import MENDS
from migration_lab.workspace import Workspace
from migration_xray import connection
from migration_xray.connection import (
    NO_DATABASE,
    NOBODY,
    NOT_READY,
    OLDEST,
    SILENT,
    TAKEN,
    UNKNOWN,
    WRONG_PASSWORD,
    NoSession,
    where,
)
from migration_xray.errors import UserError

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy import URL

READY_WITHIN = 30  # seconds: a server that was killed, or met a full disk, first makes good what it had begun

# What a refused session means for a learner and what to do, where it is more than any program of PostgreSQL's would say.
ADVICE = {
    WRONG_PASSWORD: "Check both. For PostgreSQL in Docker, `docker compose restart postgres` sets the role's password anew.",
    NO_DATABASE: "End the URL with one that exists, such as /postgres; the course makes databases of its own beside it.",
    TAKEN: MENDS["53300"],
    UNKNOWN: "`lab doctor` looks for the cause.",
}


@dataclass(frozen=True)
class Server:
    """A server that answers. ``kind`` is "embedded", "docker" or "url"; ``version`` is such as "18.6"."""

    kind: str
    url: URL
    version: str

    def __str__(self) -> str:
        return f"PostgreSQL {self.version}, {self.kind}"

    def database_url(self, database: str) -> URL:
        return self.url.set(database=database)

    def connect(self, database: str | None = None, **options: Any) -> psycopg.Connection:
        """An autocommit session in a database (by default the one for maintenance).

        Raises UserError where the server does not answer.
        """
        try:
            return connect(self.url if database is None else self.database_url(database), **options)
        except UserError as refusal:
            if self.kind == "embedded" and NOBODY in str(refusal):
                ended = f"PostgreSQL at {where(self.url)} has ended. Open your lesson again: that starts it."
                raise UserError(ended) from None
            raise


def server(choice: str | None = None, workspace: Workspace | None = None) -> Server:
    """The server that ``choice`` names ("embedded", "docker" or a URL), started if need be.

    Without a choice, LAB_POSTGRES decides, then LAB_DATABASE_URL, then it is the embedded one; what happens to
    listen on a port is never guessed. Raises UserError where it can't be had or is older than PostgreSQL 15.
    """
    kind, address = chosen(choice)
    until = time.monotonic() + READY_WITHIN
    while True:
        url = _started(kind, address, workspace)
        try:
            return meet(kind, url)
        except UserError as refusal:
            passing = (NOT_READY, NOBODY, SILENT) if kind == "embedded" else (NOT_READY,)
            if time.monotonic() > until or not any(meaning in str(refusal) for meaning in passing):
                raise
        time.sleep(0.1)


def _started(kind: str, address: str | None, workspace: Workspace | None) -> URL:
    if address is not None:
        return parse(address)
    if kind == "docker":
        from . import compose

        with (workspace or Workspace()).locked("postgres"):  # two `up` at once make two networks of one name
            return as_url(**compose.start())
    from .embedded import Embedded

    return as_url(**Embedded(workspace or Workspace()).start())


def meet(kind: str, url: URL) -> Server:
    """The server that answers at this URL. Raises UserError where none does or it is older than PostgreSQL 15."""
    with connect(url) as session:
        version = session.info.server_version
        name = (session.info.parameter_status("server_version") or str(version)).split(" ")[0]
    if version < OLDEST * 10000:
        raise UserError(f"This server is PostgreSQL {name}; the course needs {OLDEST} or newer. Choose another server.")
    return Server(kind, url, name)


def chosen(choice: str | None = None) -> tuple[str, str | None]:
    """("embedded" | "docker" | "url", the URL if it is one) by the argument or the environment."""
    choice = choice or os.environ.get("LAB_POSTGRES") or os.environ.get("LAB_DATABASE_URL") or "embedded"
    if choice in ("embedded", "docker"):
        return choice, None
    if "://" in choice:
        return "url", choice
    raise UserError(
        f'There is no server "{choice.split("@")[-1]}". '
        "Say embedded, docker, or a URL such as postgresql://me:secret@host:5432/postgres."
    )


def named(choice: str | None = None) -> str:
    """The server of a choice by what tells it from others, without a password: "embedded", "docker", "me@host:5432"."""
    kind, address = chosen(choice)
    if address is None:
        return kind
    url = parse(address)
    return f"{url.username}@{where(url)}" if url.username else where(url)


def connect(url: URL, **options: Any) -> psycopg.Connection:
    """An autocommit psycopg session at a SQLAlchemy URL. Raises NoSession, which says what refused it and what to do."""
    try:
        return connection.connect(url, **{"application_name": "migration-lab"} | options)
    except NoSession as refusal:
        raise NoSession(refusal.place, refusal.meaning, ADVICE.get(refusal.kind, refusal.mend), refusal.kind) from None


def environment(url: URL) -> dict[str, str]:
    """The variables by which psql, pg_dump and Alembic's env.py find this database.

    https://www.postgresql.org/docs/18/libpq-envars.html
    """
    named = {
        "PGHOST": connection.host(url),
        "PGPORT": url.port and str(url.port),
        "PGUSER": url.username,
        "PGPASSWORD": url.password,
        "PGDATABASE": url.database,
        "DATABASE_URL": url.render_as_string(hide_password=False),
    }
    return {name: value for name, value in named.items() if value}


def as_url(host: str, port: int, user: str, password: str, database: str = "postgres") -> URL:
    from sqlalchemy import URL

    return URL.create("postgresql+psycopg", user, password, host, port, database)


def parse(address: str) -> URL:
    """The SQLAlchemy URL that a person wrote. Raises UserError where it is not one of PostgreSQL.

    If LAB_DATABASE_URL has no password, it gets the one in the file LAB_POSTGRES_PASSWORD_FILE (docker-compose.yml).
    """
    url = connection.parse(address)
    file = os.environ.get("LAB_POSTGRES_PASSWORD_FILE")
    if file and url.password is None and address == os.environ.get("LAB_DATABASE_URL"):  # no other server is to get it
        url = url.set(password=Path(file).read_text("utf-8").rstrip("\r\n"))
    return url
