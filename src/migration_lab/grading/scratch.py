"""The database that an answer is graded on: fresh, with time limits, and gone at the end."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg import sql

from migration_lab.course import Exercise
from migration_lab.server import Server, startstate
from migration_xray.errors import UserError

from .graded import SECONDS
from .patience import slowness
from .unseen import start_of

TIMEOUTS = {  # seconds on a usual machine
    "statement_timeout": SECONDS - 5,  # first of all: the server's refusal leads to the line at fault
    "idle_in_transaction_session_timeout": SECONDS,
}
WAITS = {"lock_timeout": "10s"}  # for nobody but the answer's own sessions, on whatever machine
UNSAVED = {"synchronous_commit": "off"}  # a commit need not reach the disk: after a crash the database is dropped


@contextmanager
def scratch(running: Server, exercise: Exercise, stem: str) -> Iterator[str]:
    """A fresh database at the start state that the exercise is graded on, with time limits.

    At the end it is dropped, in a thread: nobody has to wait for that, but the process does not end before. A session
    named like the database stands beside it: a scratch database without one was left by a check that died.
    """
    database = f"{stem}{os.getpid()}_{secrets.token_hex(3)}"
    session = startstate.patient(running, application_name=database)
    try:
        for (leftover,) in session.execute(
            "SELECT datname FROM pg_database JOIN pg_roles r ON r.oid = datdba AND rolname = current_user"
            " WHERE starts_with(datname, %s) AND datname NOT IN (SELECT application_name FROM pg_stat_activity)",
            [stem],
        ).fetchall():
            with suppress(psycopg.Error):  # one that can't be dropped keeps nobody from being graded
                startstate.drop_database(session, leftover)
        startstate.create_by(session, running, database, start_of(exercise))
        command, times = sql.SQL("ALTER DATABASE {} SET {} = {}"), slowness(running)
        timeouts = {setting: f"{seconds * times:.1f}s" for setting, seconds in TIMEOUTS.items()} | WAITS
        limits = [
            command.format(sql.Identifier(database), sql.Identifier(setting), sql.Literal(value))
            for setting, value in (timeouts | UNSAVED).items()
        ]
        session.execute(sql.SQL("; ").join(limits))  # in one statement, and so in one transaction
        yield database
    finally:
        threading.Thread(target=_drop, args=(running, session, database), name=f"drop {database}").start()


def _drop(running: Server, session: psycopg.Connection, database: str) -> None:
    """Drop a scratch database and close its session. Where the server refuses, it is left to the next check."""
    with suppress(UserError, psycopg.Error), session:
        try:
            startstate.drop_database(session, database)
        except psycopg.OperationalError:  # a migration may have ended every session that it found
            with running.connect() as another:
                startstate.drop_database(another, database)
