"""An application that uses a learner's database and comes back at once when its sessions are ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg

from migration_lab.learner import Opened
from migration_xray.errors import UserError


@contextmanager
def reconnecting(opened: Opened, count: int) -> Iterator[None]:
    """So many sessions, each of which connects again whenever it is ended, until the block is over."""
    done = threading.Event()

    def application() -> None:
        while not done.is_set():
            with suppress(UserError, psycopg.Error), opened.server.connect(opened.database) as session:
                session.execute("SELECT pg_sleep(600)")

    threads = [threading.Thread(target=application) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        while any(thread.is_alive() for thread in threads):
            with opened.server.connect() as session:
                session.execute("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", [sleeping(opened)])


def sleeping(opened: Opened) -> list[int]:
    with opened.server.connect() as session:
        query = "SELECT pid FROM pg_stat_activity WHERE datname = %s AND state = 'active' AND query LIKE '%%pg_sleep%%'"
        return [row[0] for row in session.execute(query, [opened.database])]
