"""To wait for what another process, thread or page does."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg

LOOKS = 0.02  # seconds between two looks
AWAITED = "SELECT 1 FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"


def wait_until(happens: Callable, seconds: float = 60):
    """What it gives once it gives something; fails when that does not come."""
    deadline = time.monotonic() + seconds
    while not (found := happens()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(LOOKS)
    return found


@contextmanager
def committing(session: psycopg.Connection, look: psycopg.Connection, seconds: float) -> Iterator[None]:
    """A session commits beside the body: so many seconds after somebody began to wait for it, at the latest when the body ends.

    On a busy machine the body takes a while to get there. ``look`` is another session on the same server.
    """
    ends = threading.Event()

    def commit() -> None:
        while not ends.wait(LOOKS) and not look.execute(AWAITED, [session.info.backend_pid]).fetchone():
            pass
        ends.wait(seconds)
        session.commit()

    with beside(threading.Thread(target=commit), ends=ends):
        yield


@contextmanager
def beside(*threads: threading.Thread, ends: threading.Event) -> Iterator[None]:
    """These threads run beside the body; at its end, however that comes, they are told, and waited for."""
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ends.set()
        for thread in threads:
            thread.join()
