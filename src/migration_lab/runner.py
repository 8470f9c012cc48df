"""A process of its own for a learner's migrations: they may loop, exit or print for ever, and nothing else is hurt.

The parent writes one JSON line for each Alembic command and reads one back. A process is started ahead of its use,
because starting Python and importing Alembic takes longer than the whole grading does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from .command import AlembicError, run

# A kernel's interrupt goes to its whole process group; the runner's end is its parent's decision.
APART = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if sys.platform == "win32" else {"process_group": 0}


class Stopped(Exception):
    """The runner ended before its command did. ``str()`` is a sentence without the subject."""


class Runner:
    """A runner process; use it as a context, and it is gone at the end with all that it started."""

    spare: Runner | None = None

    def __init__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "migration_lab.runner"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
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

    def alembic(self, arguments: Sequence[str], project: Path, variables: dict[str, str], seconds: float) -> None:
        """Run an Alembic command in ``project``. Raises AlembicError as ``command.run`` does.

        Raises Stopped where the command is not done in time or takes the process down with it.
        """
        job = {"arguments": list(arguments), "project": str(project), "variables": variables}
        late = threading.Event()
        timer = threading.Timer(seconds, lambda: (late.set(), self.end()))
        timer.start()
        try:
            self.process.stdin.write(json.dumps(job) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except OSError:
            answer = ""
        finally:
            timer.cancel()
        if late.is_set():
            raise Stopped(f"was not done within {seconds:g} seconds and was stopped")
        if not answer:
            raise Stopped(f"ended its own process (exit status {self.process.wait()}) before it was done")
        if failure := json.loads(answer):
            raise AlembicError(**failure)

    def end(self) -> None:
        """Kill the process and every process that a migration has started from it."""
        import psutil

        try:
            family = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            family = []
        self.process.kill()
        for process in family:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                pass
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
    """Serve the parent until it closes the pipe."""
    jobs = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    for line in jobs:
        job = json.loads(line)
        os.environ.update(job["variables"])
        failure, printed = None, _Tail()
        try:
            run(job["arguments"], Path(job["project"]), printed)
        except AlembicError as error:
            failure = {
                "sentence": error.sentence,
                "where": error.where,
                "source": error.source,
                "sqlstate": error.sqlstate,
                "printed": printed.text,
            }
        answers.write(json.dumps(failure) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
