"""Alembic's program without what its start costs: a process that has imported it becomes the program once for each line.

Started as a script, it reads one JSON line for each command (its arguments, folder, variables and a file to print to) and
answers with the exit status. It forks for each: nothing that one command leaves behind meets the next.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

UNBUFFERED = {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}


def spawn(arguments: Sequence[str], folder: Path, variables: dict[str, str]) -> tuple[str, int]:
    """Run the program itself: what it printed, and its exit status."""
    done = subprocess.run(
        [Path(sys.executable).with_name("alembic"), *arguments],
        cwd=folder,
        env=variables | UNBUFFERED,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
    )
    return done.stdout, done.returncode


class Forked:
    """The program, started once; ``run`` is as ``spawn``. Use it as a context. It can't import what is ``hidden``."""

    def __init__(self, folder: Path, hidden: Sequence[str] = ()):
        self.printed, self.hidden = folder / "printed", hidden

    def __enter__(self) -> Forked:
        command = [sys.executable, "-P", __file__, *self.hidden]  # -P: a folder of tests is no part of the program
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, env=os.environ | UNBUFFERED, text=True, encoding="utf-8", **pipes)
        return self

    def __exit__(self, *_) -> None:
        self.process.communicate()

    def run(self, arguments: Sequence[str], folder: Path, variables: dict[str, str]) -> tuple[str, int]:
        job = {"arguments": arguments, "folder": str(folder), "variables": variables, "printed": str(self.printed)}
        self.process.stdin.write(json.dumps(job) + "\n")
        self.process.stdin.flush()
        status = int(self.process.stdout.readline())
        return self.printed.read_text(encoding="utf-8"), status


def main() -> int | None:
    sys.modules.update(dict.fromkeys(sys.argv[1:]))
    import alembic.config
    import alembic.runtime.environment
    import psycopg  # noqa: F401  # what every command of the tests would import
    import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401

    for line in sys.stdin:
        job = json.loads(line)
        if not (child := os.fork()):
            _become(job)
            return alembic.config.main()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(status, flush=True)
    return None


def _become(job: dict) -> None:
    """Be where the program would have been started, and print to the file."""
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["variables"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    printed = os.open(job["printed"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for standard, file in enumerate((nothing, printed, printed)):
        os.dup2(file, standard)
    sys.argv = ["alembic", *job["arguments"]]


if __name__ == "__main__":
    sys.exit(main())
