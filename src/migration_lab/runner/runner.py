"""A process of its own for a learner's migrations: they may loop, exit or print for ever, and nothing else is hurt.

The parent writes one JSON line for each Alembic command and reads one back. The process is forked by forked.py's server. Where
there is no fork it is started, and ahead of its use: to import Alembic takes longer than the whole grading does.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar, Protocol

from migration_xray.errors import AlembicError
from migration_xray.process import APART
from migration_xray.trace import Trace

from . import forked
from .hindrance import Hindrance

FORKS = forked.AVAILABLE
# On macOS a forked process crashes where libpq looks for Kerberos credentials, which it does unless it is told not to.
# https://github.com/ged/ruby-pg/issues/538, https://www.postgresql.org/docs/18/libpq-envars.html
FORK_SAFE = {"PGGSSENCMODE": "disable"} if sys.platform == "darwin" and FORKS else {}


class Stopped(Exception):
    """The runner ended before its command did. ``str()`` is a sentence without its full stop."""


@dataclass(frozen=True)
class Revision:
    """A revision as Alembic reads it from its file; ``title`` is what ``alembic history`` prints of its docstring."""

    revision: str
    title: str


class Worker(Protocol):
    """The process that a Runner talks to, be it forked or started."""

    pid: int
    stdin: IO[str]
    stdout: IO[str]

    @property
    def returncode(self) -> int | None: ...

    def poll(self) -> int | None: ...

    def wait(self) -> int | None: ...

    def kill(self) -> None: ...


class Runner:
    """A runner process; use it as a context, and it is gone at the end with all that it started. Raises UserError where
    it can't be started."""

    spare: Runner | None = None  # where processes can't be forked
    mutex = threading.Lock()  # two gradings must not take the same spare
    at_work: ClassVar[set[Runner]] = set()

    def __init__(self) -> None:
        self.process: Worker = forked.fork() if FORKS else _Spawned()

    @classmethod
    def ready(cls) -> Runner:
        """A runner that was warmed up before, or a new one."""
        with cls.mutex:
            runner, cls.spare = cls.spare, None
        return runner if runner and runner.process.poll() is None else cls()

    @classmethod
    def warm_up(cls) -> None:
        """Begin now what takes long about the next runner; it ends by itself with this process."""
        if FORKS:
            forked.warm_up()
            return
        with cls.mutex:
            if cls.spare is None or cls.spare.process.poll() is not None:
                cls.spare = cls()

    @classmethod
    def end_all(cls) -> None:
        """End what is at work in other threads: their commands raise Stopped."""
        for runner in list(cls.at_work):
            runner.end()

    def __enter__(self) -> Runner:
        self.at_work.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.at_work.discard(self)
        self.end()

    def alembic(
        self,
        arguments: Sequence[str],
        project: Path,
        variables: dict[str, str],
        seconds: float,
        hindrance: Hindrance | None = None,
    ) -> Trace:
        """Run an Alembic command in ``project`` under x-ray. Raises AlembicError, with its ``trace``, as ``command.run`` does.

        With a ``hindrance``, somebody's transaction is in its way, and what has met it is noted there.
        Raises Stopped where the command is not done in time or takes the process down with it.
        """
        job = {
            "arguments": list(arguments),
            "project": str(project),
            "variables": FORK_SAFE | os.environ | variables,
            "hindrance": hindrance and hindrance.to_dict(),
        }
        told = self._answer(job, f"`alembic {' '.join(arguments)}`", seconds)
        if hindrance:
            hindrance.met = Hindrance.from_dict(told["hindrance"]).met
        trace = Trace.from_dict(told["trace"])
        if told["failure"]:
            error = AlembicError(**told["failure"])
            error.trace = trace
            raise error
        return trace

    def revisions(self, project: Path, heads: Sequence[str], base: str, seconds: float) -> list[Revision]:
        """The revisions of ``project`` from these down to ``base``, which is left out: newest first, as Alembic reads them.

        To read a revision is to run its file, so it is done here. Raises as :meth:`alembic` does.
        """
        job = {"heads": list(heads), "base": base, "project": str(project), "variables": FORK_SAFE | os.environ}
        told = self._answer(job, "the reading of the revisions", seconds)
        if told["failure"]:
            raise AlembicError(**told["failure"])
        return [Revision(**one) for one in told["revisions"]]

    def _answer(self, job: dict[str, Any], what: str, seconds: float) -> dict[str, Any]:
        """The worker's answer to a job. Raises Stopped, which names ``what``."""
        answer = ""
        late = threading.Event()

        def stop() -> None:
            late.set()
            self.end()

        timer = threading.Timer(seconds, stop)
        timer.start()
        try:
            with suppress(OSError):
                self.process.stdin.write(json.dumps(job) + "\n")
                self.process.stdin.flush()
                answer = self.process.stdout.readline()
            if not answer:
                self.process.wait()
        finally:
            timer.cancel()
        if late.is_set():
            raise Stopped(f"{what} was not done within {seconds:g} seconds and was stopped")
        if not answer:
            status = "" if self.process.returncode is None else f" (exit status {self.process.returncode})"
            raise Stopped(f"{what} ended its own process{status} before it was done")
        return json.loads(answer)

    def end(self) -> None:
        """Kill the process and every process that a migration has started from it."""
        import psutil

        family = []
        if self.process.poll() is None:
            with suppress(psutil.NoSuchProcess):
                family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()


class _Spawned(subprocess.Popen[str]):
    """A worker that is started as a program."""

    stdin: IO[str]  # both are pipes here, never None
    stdout: IO[str]

    def __init__(self) -> None:
        super().__init__(
            [sys.executable, "-P", "-m", "migration_lab.runner.worker"],  # -P: a learner's json.py is not Python's
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            cwd=sys.prefix,  # the folder that one is in when it is warmed up may be gone when it is used
            **APART,
        )

    def kill(self) -> None:
        """Kill it and its process group: a process whose parent has ended is nobody's child, but still of the group."""
        if sys.platform != "win32":
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        super().kill()
