"""How long a command may take: the usual limits, and more of them where the machine or the server is slow.

How slow it is is measured once, with a little work for Python and for the server. What a command's sessions do is looked at
once it has taken some seconds: waiting for a lock, sleeping, or working, and how much time of a processor they got.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import suppress

import psycopg

from migration_lab.server import Server
from migration_xray.errors import UserError

# Seconds that a usual machine takes for the work below: one of the year 2023 with two processors and nothing else to do.
USUAL = 0.1
MOST = 4.0  # times the usual limit, and no more: somebody waits for it
LOOPS = 1_000_000
WORK = "SELECT count(*) FROM generate_series(1, 300000) AS n WHERE n % 7 = 3"

QUIET = 3.0  # seconds of a command in which nobody looks at its sessions
LOOKS = 0.25
AT_WORK = """
    SELECT pid, wait_event_type FROM pg_stat_activity
    WHERE datname = %s AND state = 'active' AND backend_type = 'client backend'
        AND application_name <> ALL (ARRAY['migration-lab', 'x-ray', 'lab-meter'])
        AND NOT starts_with(application_name, 'traffic ')"""

_measured: dict[str, float] = {}
_mutex = threading.Lock()


def slowness(running: Server) -> float:
    """How many times longer than usual this machine and this server take, between 1 and MOST; measured once."""
    key = str(running.url)
    with _mutex:
        if key not in _measured:
            _measured[key] = times_slower(running)
        return min(max(1.0, _measured[key]), MOST)


def times_slower(running: Server) -> float:
    """How many times longer than usual the work takes now."""
    with running.connect() as session:
        began = time.perf_counter()
        session.execute("SET statement_timeout = 0")
        session.execute(WORK)
        number = 0
        while number < LOOPS:
            number += 1
        return (time.perf_counter() - began) / USUAL


class Meter:
    """What the sessions in a database do while a command is under way, looked at from QUIET seconds on."""

    def __init__(self, running: Server, database: str):
        self.running, self.database = running, database
        self.watch: threading.Thread | None = None
        self._forget()

    def begin(self) -> None:
        self.end()
        self._forget()
        self.watch = threading.Thread(target=self._watch, daemon=True, name=f"meter {self.database}")
        self.watch.start()

    def _forget(self) -> None:
        self.over = threading.Event()
        self.did: Counter[str] = Counter()
        self.seconds = self.cpu = 0.0

    def end(self) -> None:
        self.over.set()
        if self.watch:
            self.watch.join()

    def starved(self) -> str | None:
        """In words, how little of a processor the server's own work got; None where it got enough, or did not work.

        None also where that can't be known, as of a server on another machine.
        """
        worked = self.did["works"] > self.did.total() / 2
        if not worked or not self.cpu or self.cpu > self.seconds / 2:
            return None
        return f"In {self.seconds:.0f} s of it the server got {self.cpu:.1f} s of a processor"

    def _watch(self) -> None:
        if self.over.wait(QUIET):
            return
        with suppress(UserError, psycopg.Error), self.running.connect(application_name="lab-meter") as session:
            began = time.monotonic()
            first: dict[int, float] = {}
            last: dict[int, float] = {}
            while not self.over.wait(LOOKS):
                for pid, waits_for in session.execute(AT_WORK, [self.database]).fetchall():
                    self.did[waits_for or "works"] += 1
                    if (cpu := _cpu(pid)) is not None:
                        first.setdefault(pid, cpu)
                        last[pid] = cpu
                self.seconds = time.monotonic() - began
                self.cpu = sum(cpu - first[pid] for pid, cpu in last.items())


def _cpu(pid: int) -> float | None:
    """Seconds of a processor that a server's process has had; None where it is not one of this machine's."""
    import psutil

    with suppress(psutil.Error):
        process = psutil.Process(pid)
        if "postgres" in process.name():
            times = process.cpu_times()
            return times.user + times.system
    return None
