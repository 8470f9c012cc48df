"""Somebody's open transaction, in the way of what a migration asks for; it comes right before a statement is sent.

A second session takes a lock on the tables, as a reader or a writer has it. The server itself lets the migration wait, and
ends the statement after its ``lock_timeout``.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, SupportsIndex

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Connection, ExceptionContext, event
from sqlalchemy.engine import Engine

from migration_xray import connection
from migration_xray.errors import sqlstate
from migration_xray.trace import shape
from migration_xray.watch import origin

from .hindrance import A_WRITERS, AN_INDEXS, Hindrance, Met

LOOKS = 0.010  # seconds between two looks at whether the migration waits
ENOUGH_ROWS = 2  # statements about rows that it stands before: a backfill may have hundreds of batches
UNMET = 3.0  # seconds before it leaves where nobody waits: a DO block may look for it, and begin when it is gone
LOCK_NOT_AVAILABLE = "55P03"

# It asks for no lock on a table.
HARMLESS = re.compile(
    r"\s*(SET|RESET|SHOW|BEGIN|START|COMMIT|END|ROLLBACK|ABORT|SAVEPOINT|RELEASE)\b[^;]*;?\s*$", re.IGNORECASE
)
# Neither a reader nor a writer is in the way of their locks. There may be thousands of them, and a SELECT may ask for locks.
ROWS = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE)\b", re.IGNORECASE)
# It waits for writers, and nobody waits for it.
CONCURRENT = re.compile(r"\bCONCURRENTLY\b", re.IGNORECASE)
# A table that the migration has locked is passed over: what comes in the same transaction asks for no new lock on it.
STAND_THERE = """
    DO $$
    DECLARE name text;
    BEGIN
        FOR name IN SELECT oid::regclass FROM pg_class WHERE oid = ANY (ARRAY[{relations}]::oid[]) LOOP
            BEGIN
                EXECUTE format('LOCK TABLE %s IN {mode} MODE NOWAIT', name);
            EXCEPTION WHEN OTHERS THEN
                NULL;
            END;
        END LOOP;
    END $$"""


class Obstacle:
    """Stands in the way of the statements that SQLAlchemy sends for a migration, as long as the block runs.

    ``hindrance`` says how; what meets it is noted there.
    """

    def __init__(self, url: URL, hindrance: Hindrance):
        self.url, self.hindrance = url, hindrance
        self.met = Counter({_key(one): hindrance.times for one in hindrance.met})
        self.statement: Met | None = None  # the one that it stands before
        self.waited = False  # whether that one has been seen to wait
        self.finished = False  # whether it has done what it came for
        self.done = threading.Event()
        self.looking: threading.Thread | None = None
        self.listeners: list[tuple[str, Callable[..., None]]] = [
            ("before_cursor_execute", self.before),
            ("after_cursor_execute", self.after),
            ("handle_error", self.failed),
        ]

    def __enter__(self) -> Obstacle:
        self.session = connection.connect(self.url, application_name="somebody")
        self.do("SET client_min_messages = error")
        for name, listener in self.listeners:
            event.listen(Engine, name, listener)
        return self

    def __exit__(self, *_: object) -> None:
        for name, listener in self.listeners:
            event.remove(Engine, name, listener)
        self.leave()
        self.session.close()

    # Told by the thread that runs the migration

    def before(self, migration: Connection, cursor: Any, sql: str, *_: Any) -> None:
        if self.statement or self.finished or self.is_harmless(sql) or _status(migration) == TransactionStatus.INERROR:
            return
        if ROWS.match(sql) and sum(bool(ROWS.match(one.sql)) for one in self.hindrance.met) >= ENOUGH_ROWS:
            return
        sender = origin(sys._getframe(1))
        statement = Met(sender.get("where"), sql)
        if not sender.get("own") and self.met[_key(statement)] < self.hindrance.times:
            self.stand_before(statement, migration)

    def after(self, migration: Connection, *_: Any) -> None:
        if self.statement:
            self.passed(self.statement, migration)

    def failed(self, context: ExceptionContext) -> None:
        if self.statement:
            self.statement.timed_out = sqlstate(context.original_exception) == LOCK_NOT_AVAILABLE
            self.passed(self.statement, None if context.is_disconnect else context.connection)

    def stand_before(self, statement: Met, migration: Connection) -> None:
        """Take the locks, and begin to look whether this statement of the migration waits for them."""
        relations = ",".join(map(str, self.hindrance.relations))
        # A stronger lock would keep a build beside writers from beginning. A writer lets it begin, and leaves half of it.
        mode = A_WRITERS if CONCURRENT.search(statement.sql) else self.hindrance.mode
        self.do("BEGIN")
        self.do(STAND_THERE.format(relations=relations, mode=mode))
        self.statement, self.waited = statement, False
        self.done.clear()
        pid = _driver(migration).info.backend_pid
        self.looking = threading.Thread(target=self.look, args=(pid,), daemon=True)
        self.looking.start()

    def passed(self, statement: Met, migration: Connection | None) -> None:
        """The statement is over. ``migration`` is None where its session is over too."""
        if self.waited or statement.timed_out:
            self.met[_key(statement)] += 1
            self.hindrance.met.append(statement)

    def leave(self) -> None:
        self.statement = None
        self.done.set()
        if self.looking:
            self.looking.join()
        self.do("ROLLBACK")

    def is_harmless(self, sql: str) -> bool:
        """Whether a statement asks for no lock that somebody could be in the way of, as its first word says."""
        return bool(HARMLESS.match(sql)) or self.hindrance.mode != AN_INDEXS and bool(ROWS.match(sql))

    # In a thread of its own

    def look(self, pid: int) -> None:
        """Look whether the migration waits, and end the transaction when it is time."""
        came, since, without = time.monotonic(), None, 0
        while not self.done.wait(LOOKS):
            waits = self.do(f"SELECT WHERE pg_backend_pid() = ANY (pg_blocking_pids({pid}))")
            if waits and since is None:
                since, self.waited = time.monotonic(), True
            without = 0 if waits else without + 1
            now = time.monotonic()
            if self.is_time_to_go(now - since, without) if since else now > came + UNMET:
                self.do("ROLLBACK")
                return

    def is_time_to_go(self, seconds: float, without: int) -> bool:
        """Whether to go so many seconds after the migration began to wait, and after so many looks that saw it wait no more."""
        raise NotImplementedError

    def do(self, sql: str) -> int:
        """Run a statement in its own session; gives how many rows it found. A migration may have ended that session."""
        with suppress(psycopg.OperationalError):
            return max(0, self.session.execute(sql).rowcount)
        return 0


class Latecomer(Obstacle):
    """Comes once, before the first statement that has to wait for it, and stays for the time that it is to."""

    def passed(self, statement: Met, migration: Connection | None) -> None:
        super().passed(statement, migration)
        if self.waited:
            self.statement, self.finished = None, True  # it goes in its own time
        else:
            self.leave()

    def is_time_to_go(self, seconds: float, without: int) -> bool:
        return seconds > (self.hindrance.stays or 0)


class BeforeEach(Obstacle):
    """Comes before each statement that has to wait for it, and leaves as soon as that has timed out.

    For that statement the migration's own ``lock_timeout`` is a short one. A session that says ``SET lock_timeout = 0`` means
    to wait, and its statement goes through.
    """

    SHORT = "43ms"  # nobody else sets this one, so it is known whether a statement has set another
    LETS_THROUGH = 0.050  # seconds before it leaves, where the migration means to wait
    STAYS = 1.0  # seconds before it leaves in any case: a DO block may have set a timeout of its own
    PAUSE = 0.020  # seconds: no pause between two tries is longer

    def __enter__(self) -> Obstacle:
        super().__enter__()
        [(self.usual,)] = self.session.execute("SHOW lock_timeout")
        self.sleep, time.sleep = time.sleep, self.doze
        return self

    def __exit__(self, *_: object) -> None:
        time.sleep = self.sleep
        super().__exit__()

    def doze(self, seconds: float | SupportsIndex) -> None:
        """What time.sleep() does meanwhile: whether the next try gets through is looked at, not when."""
        self.sleep(min(float(seconds), self.PAUSE))

    def stand_before(self, statement: Met, migration: Connection) -> None:
        self.limit = _ask(migration, "SHOW lock_timeout")
        self.means_to_wait = self.limit == "0"
        statement.endless = self.means_to_wait and self.usual != "0" and not CONCURRENT.search(statement.sql)
        self.scope = "SESSION" if _status(migration) == TransactionStatus.IDLE else "LOCAL"
        if not self.means_to_wait:
            _ask(migration, f"SET {self.scope} lock_timeout = '{self.SHORT}'")
        super().stand_before(statement, migration)

    def passed(self, statement: Met, migration: Connection | None) -> None:
        """Leave, and give the session its own ``lock_timeout`` again, unless the statement has set another one.

        In a transaction that has failed nothing can be set; what was set for it alone goes with it.
        """
        self.leave()
        super().passed(statement, migration)
        if migration is None or _status(migration) == TransactionStatus.INERROR:
            return
        if _ask(migration, "SHOW lock_timeout") == self.SHORT:
            _ask(migration, f"SET {self.scope} lock_timeout = '{self.limit}'")

    def is_time_to_go(self, seconds: float, without: int) -> bool:
        return without == 2 or seconds > (self.LETS_THROUGH if self.means_to_wait else self.STAYS)


def obstacle(url: URL, hindrance: Hindrance) -> Obstacle:
    """The obstacle that a hindrance speaks of."""
    return (BeforeEach if hindrance.stays is None else Latecomer)(url, hindrance)


def _key(statement: Met) -> tuple[str | None, str]:
    return statement.where, shape(statement.sql)


def _ask(migration: Connection, sql: str) -> str:
    """Send a SHOW or a SET through a migration's own session; gives what it answers."""
    cursor: Any = migration.connection.cursor()
    try:
        cursor.execute(sql)
        return cursor.fetchone()[0] if cursor.description else ""
    finally:
        cursor.close()


def _driver(migration: Connection) -> Any:
    """The connection of psycopg or psycopg2."""
    return migration.connection.driver_connection


def _status(migration: Connection) -> int:
    return int(_driver(migration).info.transaction_status)
