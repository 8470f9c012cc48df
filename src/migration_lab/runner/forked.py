"""A worker forked from a process that has imported SQLAlchemy and Alembic once: the notebook's side.

To import them takes longer than a grading. Python has a server of this kind, ``multiprocessing.forkserver``. It is not
used here, for these reasons: it starts without ``-P`` and with the notebook's ``sys.path``, so a learner's ``json.py``
would replace Python's; a process has one of them, which the learner's own code may have started with other modules; its
children first import the ``__main__`` of the notebook or of pytest; and a child that loops lives on when the notebook is
gone. https://docs.python.org/3/library/multiprocessing.html#contexts-and-start-methods
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from typing import IO

from migration_xray.errors import UserError

AVAILABLE = hasattr(os, "fork") and hasattr(socket, "send_fds")  # not on Windows
NUMBER = struct.Struct("i")  # a process id or an exit status, from the server

_lock = threading.Lock()
_server: _Server | None = None


class _Server:
    def __init__(self) -> None:
        self.requests, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    "migration_lab.runner.forkserver",
                ],  # -P: a learner's json.py is not Python's
                stdin=theirs.fileno(),
                cwd=sys.prefix,  # the folder that this process is in may be deleted while the server runs
                process_group=0,  # a notebook's interrupt goes to its whole process group
            )


def warm_up() -> None:
    """Start the server now, unless it runs; it ends by itself with this process."""
    with _lock:
        _running()


def pid() -> int | None:
    """The server's process id, None where it does not run."""
    return _server.process.pid if _server and _server.process.poll() is None else None


def fork() -> Forked:
    """A new worker. Raises UserError where the server does not start."""
    with _lock:
        for _ in range(2):  # a migration that runs beside this may have killed the server
            server = _running()
            with suppress(ConnectionError):
                return Forked(server.requests)
        raise UserError(
            f"The process that runs migrations did not start (exit status {server.process.wait()}). "
            "`lab doctor` looks for the cause."
        )


def _running() -> _Server:
    global _server
    if _server is None or _server.process.poll() is not None:
        _server = _Server()
    return _server


class Forked:
    """A worker, with those attributes of a ``subprocess.Popen`` that a Runner needs (``runner.Worker``).

    The server reaps it and sends its exit status: ``returncode`` stays None where the server was killed before that. The
    server kills the worker's process group once the worker has ended, or ``control`` is closed.
    """

    def __init__(self, requests: socket.socket):
        self.control, their_control = socket.socketpair()
        self.jobs, their_jobs = socket.socketpair()
        with their_control, their_jobs:
            socket.send_fds(requests, [b"f"], [their_control.fileno(), their_jobs.fileno()])
        pid = self._number()
        if pid is None:
            raise ConnectionError("the server ended")
        self.pid = pid
        self.stdin: IO[str] = self.jobs.makefile("w", encoding="utf-8")
        self.stdout: IO[str] = self.jobs.makefile("r", encoding="utf-8")
        self.returncode: int | None = None
        self.told = False
        self.mutex = threading.Lock()  # a time limit ends it from another thread

    def poll(self) -> int | None:
        """The exit status, None while it runs or where nobody knows it."""
        if select.select([self.control], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self) -> int | None:
        """Wait until the worker has ended; returns the exit status."""
        with self.mutex:
            if not self.told:
                self.returncode, self.told = self._number(), True
        return self.returncode

    def kill(self) -> None:
        """Kill the worker's process group, and end the wait of whoever reads from it."""
        if self.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        with suppress(OSError):  # a process that got away may still hold the other end
            self.jobs.shutdown(socket.SHUT_RDWR)

    def _number(self) -> int | None:
        """The next number that the server sends, None where it has ended."""
        with suppress(ConnectionError):
            if said := self.control.recv(NUMBER.size):
                return NUMBER.unpack(said)[0]
        return None
