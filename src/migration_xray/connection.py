"""Sessions at a database's URL, and what it means where PostgreSQL refuses one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from migration_xray.errors import UserError, servers_words

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy import URL

OLDEST = 15  # the oldest PostgreSQL that is watched

# The kinds of refusals that somebody may want to treat in a way of their own.
WRONG_PASSWORD = "the password or the role is wrong"
NOBODY = "nothing listens there"
SILENT = "no PostgreSQL answers there"
NO_DATABASE = "it has no such database"
TAKEN = "all its sessions are taken"
NOT_READY = "it is not ready yet"
UNKNOWN = ""

FULL = r"too many (clients|connections)|connection slots"  # PostgreSQL's words where it has no session left

# What a refused session means and what to do, by what libpq or the server says. A refusal in another language, or one
# that is not here, is passed on as it was said.
REFUSALS = {
    r"password authentication failed|no password supplied": (WRONG_PASSWORD, "Check both."),
    r"Connection refused|No such file or directory|could not connect to server": (
        NOBODY,
        "Start that server, or correct the host and the port.",
    ),
    r"failed to resolve host|could not translate host name": ("there is no host of that name", "Correct the host."),
    r"timeout|timed out|No route to host|unreachable|closed the connection unexpectedly|invalid response to SSL": (
        SILENT,
        "Check the host, the port, and any VPN or firewall on the way.",
    ),
    r'database ".*" does not exist': (NO_DATABASE, "Correct the database in the URL."),
    r"does not support SSL": (
        "it speaks no TLS, which was asked for",
        "Take sslmode out of the URL, and PGSSLMODE out of your environment.",
    ),
    r"no encryption|SSL off|certificate|SSL error": (
        "TLS could not be agreed on",
        "Add ?sslmode=require to the URL, or for a certificate of your own &sslrootcert=/path/to/ca.pem.",
    ),
    r"no pg_hba.conf entry": ("it does not let this role in from here", "Ask whoever runs the server to allow it."),
    FULL: (TAKEN, "Close sessions that you don't need, then try again."),
    r"role \".*\" does not exist": ("it has no such role", "Correct the role in the URL."),
    r"starting up|shutting down|recovery mode|not yet accepting": (NOT_READY, "Try again in a moment."),
}


class NoSession(UserError):
    """A server that refused a session, or did not answer.

    ``place`` is such as "localhost:5432"; ``meaning`` says what is wrong and ``mend`` what to do; ``kind`` is the meaning
    where it is one of those that are known here, else UNKNOWN.
    """

    def __init__(self, place: str, meaning: str, mend: str, kind: str):
        super().__init__(f"PostgreSQL at {place} refused the session: {meaning}. {mend}".rstrip())
        self.place, self.meaning, self.mend, self.kind = place, meaning, mend, kind


def connect(url: URL, **options: Any) -> psycopg.Connection:
    """An autocommit psycopg session at a SQLAlchemy URL; ``options`` are libpq's and psycopg's own.

    Raises NoSession, which says what refused it.
    """
    import psycopg

    usual: dict[str, Any] = {"autocommit": True, "connect_timeout": 10, "application_name": "migration-xray"}
    try:
        return psycopg.connect(libpq_url(url), **usual | options)
    except psycopg.OperationalError as error:
        raise _refusal(url, str(error)) from None


def where(url: URL) -> str:
    """The host and the port that a URL names, as "localhost:5432"."""
    return f"{host(url) or 'the local socket'}:{url.port or 5432}"


def host(url: URL) -> str:
    """The host that a URL names, or the folder of the socket, "" where it names none; several are joined by commas.

    https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-MULTIPLE-HOSTS
    """
    named = url.query.get("host", "")
    return url.host or (named if isinstance(named, str) else ",".join(named))


def libpq_url(url: URL) -> str:
    """A SQLAlchemy URL as libpq reads it, password included."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def parse(address: str) -> URL:
    """The SQLAlchemy URL that a person wrote. Raises UserError where it is not one of PostgreSQL."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise UserError(
            f"{address.split('@')[-1]} can't be read as a database URL; postgresql://me:secret@host:5432/postgres is one."
        ) from None
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise UserError(
            f"That is a {url.get_backend_name()} URL, and this works with PostgreSQL {OLDEST} or newer only."
        )
    return url.set(drivername="postgresql+psycopg", database=url.database or "postgres")


def _refusal(url: URL, said: str) -> NoSession:
    for pattern, (meaning, mend) in REFUSALS.items():
        if re.search(pattern, said):
            return NoSession(where(url), meaning, mend, meaning)
    return NoSession(where(url), servers_words(said), "", UNKNOWN)
