"""Somebody's transaction that stands in a migration's way, for as long as it takes to see what the migration does then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

import psycopg

LOOKS = 0.02  # seconds between two looks
# How many wait for a session; traffic does not count, which is there to feel what a migration does.
# https://www.postgresql.org/docs/18/functions-info.html (pg_blocking_pids)
WAITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND %s = ANY(pg_blocking_pids(pid)) AND NOT starts_with(application_name, 'traffic ')"""


class Blocker:
    """A transaction that begins with a statement and is open for a block, at the most.

    It ends ``stays`` seconds after somebody was first seen to wait for it. Before that it ends as soon as nobody waits any more:
    who gave up and tries again would only meet the same. With ``patient`` it stays its time all the same; and where nobody comes
    to wait, it ends after twice that time. ``met`` is set once somebody waits.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection], statement: str, stays: float, patient: bool = False):
        self.connect, self.statement, self.stays, self.patient = connect, statement, stays, patient
        self.met, self.over = threading.Event(), threading.Event()
        self.watch = threading.Thread(target=self._watch)

    def __enter__(self) -> Blocker:
        with ExitStack() as stack:
            self.session = stack.enter_context(self.connect())
            self.look = stack.enter_context(self.connect())
            self.session.execute("BEGIN")
            self.session.execute(self.statement)
            self.sessions = stack.pop_all()
        self.watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.watch.join()
        with suppress(psycopg.Error):  # a session that a migration has ended can't commit any more
            self.sessions.close()

    def _watch(self) -> None:
        with suppress(psycopg.Error):  # a migration may end every session that it finds; the check meets that too
            self._until_all_is_seen()
            self.session.execute("COMMIT")

    def _until_all_is_seen(self) -> None:
        came, began, without = time.monotonic(), None, 0
        while not self.over.wait(LOOKS):
            [(waiting,)] = self.look.execute(WAITING, [self.session.info.backend_pid])
            if waiting:
                began = began or time.monotonic()
                self.met.set()
            without = 0 if waiting or began is None else without + 1
            if began and time.monotonic() > began + self.stays or without == 2 and not self.patient:
                return
            if self.patient and began is None and time.monotonic() > came + 2 * self.stays:
                return
