"""A PostgreSQL server to learn on: embedded, in Docker, or one of your own.

``server()`` is the one answer to "which server?": a label and SQLAlchemy URLs for its databases.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .errors import LabError
from .workspace import Workspace

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy import URL

OLDEST = 15
SILENT = "no PostgreSQL answers there"
NOBODY = "nothing listens there"
NOT_READY = "it is not ready yet"
READY_WITHIN = 30  # seconds: a server that was killed, or met a full disk, first makes good what it had begun

# What a refused session means and what to do, by what libpq or the server says. A refusal in another language, or one
# that is not here, is passed on as it was said.
REFUSALS = {
    r"password authentication failed|no password supplied": (
        "the password or the role is wrong",
        "Check both. PostgreSQL in Docker keeps the password that its volume was made with: set LAB_POSTGRES_PASSWORD "
        "to that one, or make the volume anew with `docker compose down --volumes`, which drops the lessons' databases.",
    ),
    r"Connection refused|No such file or directory|could not connect to server": (
        NOBODY,
        "Start that server, or correct the host and the port.",
    ),
    r"failed to resolve host|could not translate host name": ("there is no host of that name", "Correct the host."),
    r"timeout|timed out|No route to host|unreachable|closed the connection unexpectedly|invalid response to SSL": (
        SILENT,
        "Check the host, the port, and any VPN or firewall on the way.",
    ),
    r'database ".*" does not exist': (
        "it has no such database",
        "End the URL with one that exists, such as /postgres; the course makes databases of its own beside it.",
    ),
    r"does not support SSL": (
        "it speaks no TLS, which was asked for",
        "Take sslmode out of the URL, and PGSSLMODE out of your environment.",
    ),
    r"no encryption|SSL off|certificate|SSL error": (
        "TLS could not be agreed on",
        "Add ?sslmode=require to the URL, or for a certificate of your own &sslrootcert=/path/to/ca.pem.",
    ),
    r"no pg_hba.conf entry": ("it does not let this role in from here", "Ask whoever runs the server to allow it."),
    r"too many (clients|connections)|connection slots": (
        "all its sessions are taken",
        "Shut down kernels that you don't need, then try again.",
    ),
    r"role \".*\" does not exist": ("it has no such role", "Correct the role in the URL."),
    r"starting up|shutting down|recovery mode|not yet accepting": (NOT_READY, "Try again in a moment."),
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

    def connect(self, database: str | None = None, **options) -> psycopg.Connection:
        """An autocommit session in a database (by default the one for maintenance).

        Raises LabError where the server does not answer.
        """
        try:
            return connect(self.url if database is None else self.database_url(database), **options)
        except LabError as refusal:
            if self.kind == "embedded" and NOBODY in str(refusal):
                ended = f"PostgreSQL at {where(self.url)} has ended. Open your lesson again: that starts it."
                raise LabError(ended) from None
            raise


def server(choice: str | None = None, workspace: Workspace | None = None) -> Server:
    """The server that ``choice`` names ("embedded", "docker" or a URL), started if need be.

    Without a choice, LAB_POSTGRES decides, then LAB_DATABASE_URL, then it is the embedded one; what happens to
    listen on a port is never guessed. Raises LabError where it can't be had or is older than PostgreSQL 15.
    """
    kind, address = chosen(choice)
    until = time.monotonic() + READY_WITHIN
    while True:
        url = _started(kind, address, workspace)
        try:
            return meet(kind, url)
        except LabError as refusal:
            passing = (NOT_READY, NOBODY, SILENT) if kind == "embedded" else (NOT_READY,)
            if time.monotonic() > until or not any(meaning in str(refusal) for meaning in passing):
                raise
        time.sleep(0.1)


def _started(kind: str, address: str | None, workspace: Workspace | None) -> URL:
    if kind == "embedded":
        from .embedded import Embedded

        return as_url(**Embedded(workspace or Workspace()).start())
    if kind == "docker":
        from . import compose

        with (workspace or Workspace()).locked("postgres"):  # two `up` at once make two networks of one name
            return as_url(**compose.start())
    return parse(address)


def meet(kind: str, url: URL) -> Server:
    """The server that answers at this URL. Raises LabError where none does or it is older than PostgreSQL 15."""
    with connect(url) as session:
        version = session.info.server_version
        name = session.info.parameter_status("server_version").split(" ")[0]
    if version < OLDEST * 10000:
        raise LabError(f"This server is PostgreSQL {name}; the course needs {OLDEST} or newer. Choose another server.")
    return Server(kind, url, name)


def chosen(choice: str | None = None) -> tuple[str, str | None]:
    """("embedded" | "docker" | "url", the URL if it is one) by the argument or the environment."""
    choice = choice or os.environ.get("LAB_POSTGRES") or os.environ.get("LAB_DATABASE_URL") or "embedded"
    if choice in ("embedded", "docker"):
        return choice, None
    if "://" in choice:
        return "url", choice
    raise LabError(
        f'There is no server "{choice.split("@")[-1]}". '
        "Say embedded, docker, or a URL such as postgresql://me:secret@host:5432/postgres."
    )


def connect(url: URL, **options) -> psycopg.Connection:
    """An autocommit psycopg session at a SQLAlchemy URL. Raises LabError that says what refused it."""
    import psycopg

    options = {"autocommit": True, "connect_timeout": 10, "application_name": "migration-lab"} | options
    try:
        return psycopg.connect(libpq_url(url), **options)
    except psycopg.OperationalError as error:
        raise LabError(_refusal(url, str(error))) from None


def where(url: URL) -> str:
    return f"{url.host or url.query.get('host') or 'the local socket'}:{url.port or 5432}"


def libpq_url(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def environment(url: URL) -> dict[str, str]:
    """The variables by which psql, pg_dump and Alembic's env.py find this database.

    https://www.postgresql.org/docs/18/libpq-envars.html
    """
    named = {
        "PGHOST": url.host or url.query.get("host"),
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
    """The SQLAlchemy URL that a person wrote. Raises LabError where it is not one of PostgreSQL."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise LabError(
            f"{address.split('@')[-1]} can't be read as a database URL; postgresql://me:secret@host:5432/postgres is one."
        ) from None
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise LabError(f"That is a {url.get_backend_name()} URL; the course runs on PostgreSQL {OLDEST} or newer only.")
    return url.set(drivername="postgresql+psycopg", database=url.database or "postgres")


def _refusal(url: URL, said: str) -> str:
    for pattern, (meaning, mend) in REFUSALS.items():
        if re.search(pattern, said):
            return f"PostgreSQL at {where(url)} refused the session: {meaning}. {mend}"
    last = said.strip().splitlines()[-1].split("FATAL:")[-1].strip()
    return f"PostgreSQL at {where(url)} refused the session: {last}. `lab doctor` looks for the cause."
