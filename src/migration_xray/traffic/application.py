"""The application: reader and writer sessions at a steady rate, in a process of its own.

Apart from the kernel, because Python runs one thread at a time: beside a migration in the same process, a session would
wait for its turn there, and the chart would show waits that PostgreSQL never caused.

The parent writes a plan as a line of JSON and reads one back: that the sessions are at work, or what refused them. A
second line from the parent ends them, and so does the parent's own end; a second answer tells what they felt.
"""

from __future__ import annotations

import gc
import json
import math
import os
import sys
import threading
import time
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import RawCursor

from migration_xray.errors import said

PATIENCE_AT_FIRST = "5s"  # with a lock that somebody else holds before the traffic has begun, or after its end
STATEMENT_TIMEOUT = "60s"
LATE = 0.1  # seconds behind its timetable, from which on a session has a backlog
CALM = 0.5  # seconds of traffic after a backlog, so that the picture shows how it ends
BACKLOG = 5  # times its patience with one statement, until a backlog is given up
LOST = "08006"  # connection_failure: PostgreSQL could not say why itself
MISWRITTEN = ("42601", "42P02", "42P18")  # a statement that can't be right before any migration nor after it


class Refused(Exception):
    """A session could not begin its work: its name, the SQLSTATE if there is one, and PostgreSQL's sentence."""


class Session:
    """A session of the application: a timetable, and a sample for each statement that it sent.

    A sample is (seconds since the start, milliseconds, SQLSTATE or None, PostgreSQL's sentence, whether it was answered).
    The time counts from the sending; for a statement that was due while the one before it still waited, from when it was
    due.
    """

    def __init__(self, plan: dict[str, Any], number: int, of: int, database: str, rate: float):
        self.name, self.kind, self.derived = plan["name"], plan["kind"], plan["app"] is None
        self.statements, self.keys = plan["statements"], plan["keys"]
        self.database, self.period, self.offset = database, 1 / rate, number / of / rate
        self.samples: list[tuple[float, float, str | None, str | None, bool]] = []
        self.inserted: list[tuple[Any, ...]] = []
        self.until = math.inf  # the end of the traffic: what is due later is not sent
        self.given_up = threading.Event()
        self.connection: psycopg.Connection | None = None

    def connect(self) -> None:
        self.connection = psycopg.connect(
            self.database,
            autocommit=True,
            cursor_factory=RawCursor,
            application_name=self.name,
            connect_timeout=5,
        )
        self.connection.execute(f"SET statement_timeout = '{STATEMENT_TIMEOUT}'")

    @property
    def opened(self) -> psycopg.Connection:
        """The connection, once ``connect`` has made it."""
        assert self.connection is not None
        return self.connection

    def warm_up(self) -> None:
        """Send each statement once, so that nothing is left to prepare. Raises Refused where one can't be right.

        A version of the application may not fit the schema yet: that is for the traffic to feel.
        """
        self.opened.execute(f"SET lock_timeout = '{PATIENCE_AT_FIRST}'")
        for number in range(len(self.statements)):
            try:
                self.send(number)
            except psycopg.Error as error:
                if self.derived or error.sqlstate in (*MISWRITTEN, "55P03"):
                    raise Refused(self.name, error.sqlstate, said(error)) from None
        self.opened.execute("RESET lock_timeout")

    def work(self, start: float, ending: threading.Event) -> None:
        """Keep to the timetable until the end; a session that is behind sends at once what was due meanwhile."""
        while not self.given_up.is_set() and (due := self.due(start)) < self.until:
            if (ahead := due - time.perf_counter()) > 0 and ending.wait(ahead):
                continue  # the end may have come before it
            began = time.perf_counter() if ahead > 0 else due
            answer = self.answer(len(self.samples))
            if self.given_up.is_set():
                break
            self.samples.append((began - start, (time.perf_counter() - began) * 1000, *answer, True))
            if answer[0]:
                self.forget()
        self.close()

    def due(self, start: float) -> float:
        """When the next statement of the timetable is due."""
        return start + self.offset + len(self.samples) * self.period

    def count_unanswered(self, start: float) -> None:
        """Add a sample for each statement that was due before the end and got no answer, with its time so far."""
        now = time.perf_counter()
        while (due := self.due(start)) < self.until:
            self.samples.append((due - start, (now - due) * 1000, None, None, False))

    def answer(self, number: int) -> tuple[str | None, str | None]:
        """Send the statement whose turn it is. Returns the error that it met: SQLSTATE and sentence, or twice None."""
        try:
            if self.opened.closed:
                self.connect()
            self.send(number)
        except psycopg.Error as error:
            return error.sqlstate or LOST, said(error)
        return None, None

    def send(self, number: int) -> None:
        sql, columns = self.statements[number % len(self.statements)]
        key = self.keys[number % len(self.keys)]
        cursor = self.opened.execute(sql, [key[column] for column in columns], prepare=True)
        if self.kind == "insert":
            self.inserted += [row[: len(key)] for row in cursor]

    def forget(self) -> None:
        """Forget the prepared statements after an error: their plans may be those of an old schema (SQLSTATE 0A000).

        An application rolls back after an error, and psycopg discards its prepared statements with that rollback, the
        server's and its own list of them. DEALLOCATE ALL would empty the server's alone. In autocommit there is nothing
        to roll back, so this does it with an empty transaction.
        https://github.com/psycopg/psycopg/blob/3.3.9/psycopg/psycopg/_preparing.py (_should_discard)
        """
        with suppress(psycopg.Error), self.opened.transaction(force_rollback=True):
            pass

    def give_up(self) -> None:
        self.given_up.set()
        with suppress(psycopg.Error):
            self.opened.cancel_safe(timeout=2)

    def close(self) -> None:
        if self.connection:
            self.connection.close()


class Crew:
    """All the sessions of a plan."""

    def __init__(self, plan: dict[str, Any]):
        self.plan = plan
        count = len(plan["sessions"])
        self.sessions = [
            Session(session, number, count, plan["database"], plan["rate"])
            for number, session in enumerate(plan["sessions"])
        ]
        self.ending = threading.Event()
        self.threads: list[threading.Thread] = []

    def begin(self) -> dict[str, Any]:
        """Open the sessions and set them to work. Returns when that was, by ``time.monotonic()``. Raises Refused."""
        for session in self.sessions:
            try:
                session.connect()
            except psycopg.Error as error:
                raise Refused(session.name, error.sqlstate or LOST, said(error)) from None
            session.warm_up()
        gc.collect()
        gc.disable()
        self.start, started = time.perf_counter(), time.monotonic()
        for session in self.sessions:
            self.threads.append(threading.Thread(target=session.work, args=(self.start, self.ending), daemon=True))
            self.threads[-1].start()
        return {"started": started}

    def end(self, patience: float) -> dict[str, Any]:
        """End every session, once it has caught up with its timetable.

        After that, a statement that was due may take ``patience`` seconds more. Then the one under way is canceled, and
        what was due and got no answer counts as waiting.
        """
        last = time.monotonic() + BACKLOG * patience
        self.catch_up(patience, last)
        now = time.perf_counter()
        for session in self.sessions:
            session.until = now
        self.ending.set()
        goes_on = True
        while self.behind() and goes_on and time.monotonic() < last:
            answered = self.answered()
            self.join(min(last, time.monotonic() + patience))
            goes_on = self.answered() > answered
        waiting = self.behind()
        for session in waiting:
            session.give_up()
        self.join(time.monotonic() + 3)
        for session in waiting:
            session.count_unanswered(self.start)
        return {
            "seconds": now - self.start,
            "samples": [session.samples for session in self.sessions],
            "waiting": [session.name for session in waiting],
            "left": self.delete_inserted(),
        }

    def catch_up(self, patience: float, last: float) -> None:
        """Let a backlog be sent, as long as it gets smaller within ``patience`` seconds, and until ``last`` at most."""
        before = math.inf
        while LATE < (lag := self.lag()) < before and time.monotonic() < last:
            before = lag
            enough = min(last, time.monotonic() + patience)
            while self.lag() > LATE and time.monotonic() < enough:
                time.sleep(0.02)
            if self.lag() <= LATE:
                time.sleep(CALM)

    def lag(self) -> float:
        """How many seconds the session that is furthest behind its timetable is behind."""
        return time.perf_counter() - min(session.due(self.start) for session in self.sessions)

    def behind(self) -> list[Session]:
        """The sessions that have still something to do."""
        return [session for session, thread in zip(self.sessions, self.threads, strict=True) if thread.is_alive()]

    def answered(self) -> int:
        return sum(len(session.samples) for session in self.sessions)

    def join(self, deadline: float) -> None:
        for thread in self.threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def delete_inserted(self) -> str | None:
        """Delete the rows that the sessions inserted. Returns PostgreSQL's sentence where it refuses to."""
        rows = [row for session in self.sessions for row in session.inserted]
        if not rows:
            return None
        try:
            with psycopg.connect(
                self.plan["database"], cursor_factory=RawCursor, application_name="traffic"
            ) as connection:
                connection.execute(f"SET lock_timeout = '{PATIENCE_AT_FIRST}'")
                for row in rows:
                    connection.execute(self.plan["delete"], row)
        except psycopg.Error as error:
            return said(error)
        return None

    def close(self) -> None:
        for session in self.sessions:
            session.close()


def main() -> None:
    """Serve one plan."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")

    def answer(data: dict[str, Any]) -> None:
        with suppress(OSError):  # the parent may be gone
            answers.write(json.dumps(data) + "\n")
            answers.flush()

    plan = sys.stdin.readline()
    if not plan:  # the parent has thought better of it
        return
    crew = Crew(json.loads(plan))
    try:
        answer(crew.begin())
    except Refused as refusal:
        crew.close()
        crew.delete_inserted()
        answer({"refused": refusal.args})
    else:
        patience = sys.stdin.readline()  # empty where the parent is gone
        answer(crew.end(float(patience or 0)))
