"""A process of its own for a learner's migrations: they may loop, exit or print for ever, and nothing else is hurt.

The parent writes one JSON line for each Alembic command and reads one back. A process is started ahead of its use,
because starting Python and importing Alembic takes longer than the whole grading does.
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
from pathlib import Path
from queue import SimpleQueue
from typing import TextIO

from migration_xray.command import AlembicError, run
from migration_xray.process import APART
from migration_xray.trace import Trace
from migration_xray.watch import watching


class Stopped(Exception):
    """The runner ended before its command did. ``str()`` is a sentence without its full stop."""


class Runner:
    """A runner process; use it as a context, and it is gone at the end with all that it started."""

    spare: Runner | None = None

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "migration_lab.grading.runner"],  # -P: a learner's json.py is not Python's
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            cwd=sys.prefix,  # the folder that one is in when it is warmed up may be gone when it is used
            **APART,
        )

    @classmethod
    def ready(cls) -> Runner:
        """A runner that was warmed up before, or a new one."""
        runner, cls.spare = cls.spare, None
        return runner if runner and runner.process.poll() is None else cls()

    @classmethod
    def warm_up(cls) -> None:
        """Start the next runner now; it ends by itself with this process."""
        if cls.spare is None or cls.spare.process.poll() is not None:
            cls.spare = cls()

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_) -> None:
        self.end()

    def alembic(self, arguments: Sequence[str], project: Path, variables: dict[str, str], seconds: float) -> Trace:
        """Run an Alembic command in ``project`` under x-ray. Raises AlembicError, with its ``trace``, as ``command.run`` does.

        Raises Stopped where the command is not done in time or takes the process down with it.
        """
        job = {"arguments": list(arguments), "project": str(project), "variables": variables}
        answer = ""
        late = threading.Event()
        timer = threading.Timer(seconds, lambda: (late.set(), self.end()))
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
        command = f"`alembic {' '.join(arguments)}`"
        if late.is_set():
            raise Stopped(f"{command} was not done within {seconds:g} seconds and was stopped")
        if not answer:
            raise Stopped(f"{command} ended its own process (exit status {self.process.returncode}) before it was done")
        told = json.loads(answer)
        trace = Trace.from_dict(told["trace"])
        if told["failure"]:
            error = AlembicError(**told["failure"])
            error.trace = trace
            raise error
        return trace

    def end(self) -> None:
        """Kill the process and every process that a migration has started from it."""
        import psutil

        family = []
        with suppress(psutil.NoSuchProcess):
            family = psutil.Process(self.process.pid).children(recursive=True)
        if sys.platform != "win32":  # those whose parent has ended are no children any more, but still of the group
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()


class _Tail:
    """A stream that keeps the last few thousand letters of what a migration prints, be it megabytes."""

    def __init__(self):
        self.text = ""

    def write(self, text: str) -> int:
        self.text = (self.text + text)[-4000:]
        return len(text)

    def flush(self) -> None:
        pass


def main() -> None:
    """Serve the parent until it closes the pipe or dies, be it in the middle of a migration that loops for ever."""
    stream = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    jobs = SimpleQueue()
    threading.Thread(target=_listen, args=(stream, jobs), daemon=True).start()
    while True:
        job = jobs.get()
        os.environ.update(job["variables"])
        failure, printed = None, _Tail()
        try:
            with watching(" ".join(job["arguments"])) as trace:
                run(job["arguments"], Path(job["project"]), printed)
        except AlembicError as error:
            failure = {
                "sentence": error.sentence,
                "where": error.where,
                "source": error.source,
                "sqlstate": error.sqlstate,
                "printed": printed.text,
            }
        answers.write(json.dumps({"failure": failure, "trace": trace.to_dict()}) + "\n")
        answers.flush()


def _listen(stream: TextIO, jobs: SimpleQueue) -> None:
    for line in stream:
        jobs.put(json.loads(line))
    os._exit(0)


if __name__ == "__main__":
    main()
