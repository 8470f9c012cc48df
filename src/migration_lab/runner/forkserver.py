"""The process that forks a worker for each grading: ``python -P -m migration_lab.runner.forkserver``, as forked.py starts it.

It is single-threaded when it forks and has never opened a connection, so a fork of it is safe: no thread holds a lock,
and neither libpq nor OpenSSL has a session that two processes would share. On macOS it has used none of the system's
frameworks, so that OBJC_DISABLE_INITIALIZE_FORK_SAFETY is not needed.
"""

from __future__ import annotations

import gc
import logging.config  # noqa: F401 - nearly every env.py imports it
import os
import select
import signal
import socket
from contextlib import suppress
from typing import NoReturn

from . import worker
from .forked import NUMBER


def main() -> None:
    """Fork a worker for each pair of sockets that comes in, until the notebook closes its end or dies."""
    requests = socket.socket(fileno=os.dup(0))
    worker.silence()
    gc.freeze()  # a child that collects garbage would copy every page
    woken, wake = socket.socketpair()
    for end in (woken, wake):
        end.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    workers: dict[int, socket.socket | None] = {}  # by process id; without a socket where the notebook has closed it
    while True:
        controls = [control for control in workers.values() if control]
        ready = select.select([requests, woken, *controls], [], [])[0]
        if woken in ready:
            woken.recv(4096)
        for process, control in list(workers.items()):
            if control in ready:
                _kill_group(process)
                control.close()
                workers[process] = None
        _reap(workers)
        if requests in ready:
            message, passed, *_ = socket.recv_fds(requests, 1, 2)
            if not message:
                break
            control, jobs = map(_socket, passed)
            process = os.fork()
            if not process:
                _become_worker(jobs, [requests, woken, wake, control, *filter(None, workers.values())])
            with suppress(OSError):  # the child does the same: it is done once either of them goes on
                os.setpgid(process, process)
            jobs.close()
            workers[process] = control
            with suppress(OSError):
                control.send(NUMBER.pack(process))
    for process in workers:
        _kill_group(process)


def _socket(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)  # a program that a migration starts must not have it
    return socket.socket(fileno=descriptor)


def _become_worker(jobs: socket.socket, others: list[socket.socket]) -> NoReturn:
    """Serve the notebook in this process, which a fork has just made, and never go back into the server's loop."""
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for other in others:
            other.close()
        worker.serve(jobs.makefile("r", encoding="utf-8"), jobs.makefile("w", encoding="utf-8"))
    finally:
        os._exit(1)


def _reap(workers: dict[int, socket.socket | None]) -> None:
    """Send the exit status of each worker that has ended, and kill what it leaves in its process group."""
    for process, control in list(workers.items()):
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            del workers[process]
            _kill_group(process)
            if control:
                with control, suppress(OSError):
                    control.send(NUMBER.pack(os.waitstatus_to_exitcode(status)))


def _kill_group(process: int) -> None:
    with suppress(ProcessLookupError, PermissionError):  # macOS refuses it where only zombies are left
        os.killpg(process, signal.SIGKILL)


if __name__ == "__main__":
    main()
