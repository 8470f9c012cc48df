"""Somebody's open transaction, in the way of each strong lock that a migration asks for: the first time, it times out.

The server itself refuses the lock. A second session has the tables as a writer has them, for one statement of the migration
at a time, and the migration's own ``lock_timeout`` is short for that statement.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from contextlib import suppress
from typing import Any

import psycopg
from sqlalchemy import URL, Connection, ExceptionContext, event
from sqlalchemy.engine import Engine

from migration_xray import connection
from migration_xray.errors import sqlstate
from migration_xray.trace import shape
from migration_xray.watch import origin

from .hindrance import A_WRITERS, Hindrance, Met

SHORT = "43ms"  # a lock_timeout; nobody else sets this one, so it is known whether a statement has set another
LOOKS = 0.010  # seconds between two looks at whether the migration waits
LETS_THROUGH = 0.050  # seconds before it leaves, where the migration means to wait
STAYS = 1.0  # seconds before it leaves in any case
PAUSE = 0.020  # seconds: no pause between two tries is longer
LOCK_NOT_AVAILABLE = "55P03"

# It asks for no lock on a table.
HARMLESS = re.compile(
    r"\s*(SET|RESET|SHOW|BEGIN|START|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|RELEASE)\b[^;]*;?\s*$", re.IGNORECASE
)
# There may be thousands of these, and no writer is in their way.
ROWS = re.compile(r"\s*(INSERT|UPDATE|DELETE)\b", re.IGNORECASE)
# It waits for writers, and nobody waits for it.
CONCURRENT = re.compile(r"\bCONCURRENTLY\b", re.IGNORECASE)
# A table that the migration has locked is passed over: what comes in the same transaction asks for no new lock on it.
STAND_THERE = """
    DO $$
    DECLARE name text;
    BEGIN
        FOR name IN SELECT oid::regclass FROM pg_class WHERE oid = ANY (ARRAY[{}]::oid[]) LOOP
            BEGIN
                EXECUTE format('LOCK TABLE %s IN {} MODE NOWAIT', name);
            EXCEPTION WHEN OTHERS THEN
                NULL;
            END;
        END LOOP;
    END $$"""


class Obstacle:
    """Stands in the way of the statements that SQLAlchemy sends for a migration, for as long as the block runs.

    ``hindrance`` says on which relations, and which statements have met it; those that do now are added.
    """

    def __init__(self, url: URL, hindrance: Hindrance):
        self.url, self.hindrance = url, hindrance
        self.met = {(one.where, shape(one.sql)) for one in hindrance.met}
        self.stands_before: Met | None = None
        self.listeners = [
            ("before_cursor_execute", self.before),
            ("after_cursor_execute", self.after),
            ("handle_error", self.failed),
        ]

    def __enter__(self) -> Obstacle:
        self.session = connection.connect(self.url, application_name="another session")
        self.session.execute("SET client_min_messages = error")
        [(self.usual,)] = self.session.execute("SHOW lock_timeout")
        self.sleep, time.sleep = time.sleep, self.doze
        for name, listener in self.listeners:
            event.listen(Engine, name, listener)
        return self

    def __exit__(self, *_: object) -> None:
        for name, listener in self.listeners:
            event.remove(Engine, name, listener)
        time.sleep = self.sleep
        if self.stands_before:
            self.leave()
        self.session.close()

    def doze(self, seconds: float) -> None:
        """What time.sleep() does meanwhile: only whether the next try gets through is looked at, not when."""
        self.sleep(min(seconds, PAUSE))

    def before(self, migration: Connection, cursor: Any, sql: str, *_: Any) -> None:
        sender = origin(sys._getframe(1))
        statement = Met(sender.get("where"), sql)
        if self.stands_before or sender.get("own") or self.key(statement) in self.met or self.is_harmless(sql):
            return
        pooled = migration.connection
        self.limit = _ask(pooled, "SHOW lock_timeout")
        unlimited = self.limit == "0" or bool(CONCURRENT.search(sql)) and self.limit == self.usual
        if not unlimited:
            self.within_transaction = _is_in_transaction(pooled)
            _ask(pooled, f"SET {self.scope} lock_timeout = '{SHORT}'")
        self.stand_before(statement, pooled.driver_connection.info.backend_pid, LETS_THROUGH if unlimited else STAYS)

    def after(self, migration: Connection, *_: Any) -> None:
        if self.stands_before:
            self.leave()
            self.put_back(migration)

    def failed(self, context: ExceptionContext) -> None:
        statement = self.stands_before
        if statement is None:
            return
        self.leave()
        if sqlstate(context.original_exception) == LOCK_NOT_AVAILABLE:
            statement.timed_out = True
            self.note(statement)
        if context.connection is not None and not context.is_disconnect:
            self.put_back(context.connection)

    @property
    def scope(self) -> str:
        return "LOCAL" if self.within_transaction else "SESSION"

    def put_back(self, migration: Connection) -> None:
        """Give the migration's session its own ``lock_timeout`` again, unless the statement has set another one.

        In a transaction that failed nothing can be set, and with it goes what was set for it alone.
        """
        pooled = migration.connection
        if not _has_failed(pooled) and _ask(pooled, "SHOW lock_timeout") == SHORT:
            _ask(pooled, f"SET {self.scope} lock_timeout = '{self.limit}'")

    def stand_before(self, statement: Met, pid: int, stays: float) -> None:
        """Begin to stand in the way, until the migration has waited so many seconds or has waited and does so no more."""
        relations = ",".join(map(str, self.hindrance.relations))
        self.do("BEGIN")
        self.do(STAND_THERE.format(relations, self.hindrance.mode))
        self.stands_before, self.done = statement, threading.Event()
        self.looking = threading.Thread(target=self.look, args=(statement, pid, stays), daemon=True)
        self.looking.start()

    def look(self, statement: Met, pid: int, stays: float) -> None:
        since, without = None, 0
        while not self.done.wait(LOOKS):
            waits = self.do(f"SELECT WHERE pg_backend_pid() = ANY (pg_blocking_pids({pid}))")
            if waits and since is None:
                since = time.monotonic()
                self.note(statement)
            without = 0 if waits or since is None else without + 1
            if since and (without == 2 or time.monotonic() > since + stays):
                self.do("ROLLBACK")
                return

    def leave(self) -> None:
        self.done.set()
        self.looking.join()
        self.do("ROLLBACK")
        self.stands_before = None

    def do(self, sql: str) -> int:
        """Run a statement in its own session; gives how many rows it found. A migration may have ended that session."""
        with suppress(psycopg.OperationalError):
            return max(0, self.session.execute(sql).rowcount)
        return 0

    def note(self, statement: Met) -> None:
        """This statement has met it; it gets through the next time."""
        if self.key(statement) not in self.met:
            self.met.add(self.key(statement))
            self.hindrance.met.append(statement)

    def is_harmless(self, sql: str) -> bool:
        """Whether a statement asks for no lock that somebody could be in the way of, as its first word says."""
        return bool(HARMLESS.match(sql)) or self.hindrance.mode == A_WRITERS and bool(ROWS.match(sql))

    def key(self, statement: Met) -> tuple[str | None, str]:
        return statement.where, shape(statement.sql)


def _ask(pooled: Any, sql: str) -> str:
    """Send a SHOW or a SET through a migration's own session; gives what it answers."""
    cursor = pooled.cursor()
    try:
        cursor.execute(sql)
        return cursor.fetchone()[0] if cursor.description else ""
    finally:
        cursor.close()


def _is_in_transaction(pooled: Any) -> bool:
    return int(pooled.driver_connection.info.transaction_status) != psycopg.pq.TransactionStatus.IDLE


def _has_failed(pooled: Any) -> bool:
    return int(pooled.driver_connection.info.transaction_status) == psycopg.pq.TransactionStatus.INERROR
