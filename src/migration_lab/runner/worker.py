"""The process in which a learner's migrations run, seen from inside: one JSON line in for each command, one out.

It is forked by forkserver.py, or started by ``python -m migration_lab.runner.worker`` where there is no fork.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import AbstractContextManager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TextIO

from alembic.script import Script, ScriptDirectory

from migration_xray.command import at_home, explained, run
from migration_xray.connection import NoSession, parse
from migration_xray.errors import AlembicError
from migration_xray.watch import watching

from .hindrance import Hindrance
from .obstacle import obstacle


class _Tail:
    """A stream that keeps the last few thousand letters of what a migration prints, be it megabytes."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text = (self.text + text)[-4000:]
        return len(text)

    def flush(self) -> None:
        pass


def main() -> None:
    """Serve the parent through this process's standard streams, which are the null device for the migrations."""
    stream = os.fdopen(os.dup(0), encoding="utf-8")
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    silence()
    serve(stream, answers)


def silence() -> None:
    """Make standard input, output and error the null device."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nothing, standard)
    os.close(nothing)


def serve(stream: TextIO, answers: TextIO) -> None:
    """Run jobs until the parent closes the stream or dies, even in the middle of a migration that loops for ever."""
    jobs: SimpleQueue[dict[str, Any]] = SimpleQueue()
    process = os.getpid()
    threading.Thread(target=_listen, args=(stream, jobs), daemon=True).start()
    while True:
        answer = json.dumps(_done(jobs.get())) + "\n"
        if os.getpid() != process:  # a migration has forked, and this is the child: the parent answers
            os._exit(0)
        answers.write(answer)
        answers.flush()


def _done(job: dict[str, Any]) -> dict[str, Any]:
    os.environ.clear()
    os.environ.update(job["variables"])
    project, printed = Path(job["project"]), _Tail()
    if "heads" in job:
        try:
            return {"failure": None, "revisions": _revisions(project, job["heads"], job["base"], printed)}
        except BaseException as error:
            return {"failure": _told(explained(error, project), printed)}
    failure = None
    hindrance = Hindrance.from_dict(job["hindrance"]) if job["hindrance"] else None
    try:
        with watching(" ".join(job["arguments"])) as trace, _hindered(hindrance):
            run(job["arguments"], project, printed)
    except AlembicError as error:
        failure = _told(error, printed)
    except KeyboardInterrupt as error:  # nobody presses a key here: the migration has raised it
        failure = _told(explained(error, project), printed)
    except NoSession as refusal:  # of the Obstacle's session
        failure = {"sentence": str(refusal)}
    return {"failure": failure, "trace": trace.to_dict(), "hindrance": hindrance and hindrance.to_dict()}


def _hindered(hindrance: Hindrance | None) -> AbstractContextManager[object]:
    return obstacle(parse(os.environ["DATABASE_URL"]), hindrance) if hindrance else nullcontext()


def _revisions(project: Path, heads: list[str], base: str, printed: _Tail) -> list[dict[str, str]]:
    with at_home(project, ["history"]), redirect_stdout(printed), redirect_stderr(printed):
        script = ScriptDirectory("migrations")
        return [
            {"revision": one.revision, "title": one.doc}
            for one in script.iterate_revisions(tuple(heads), base)
            if isinstance(one, Script)
        ]


def _told(error: AlembicError, printed: _Tail) -> dict[str, Any]:
    return {
        "sentence": error.sentence,
        "where": error.where,
        "source": error.source,
        "sqlstate": error.sqlstate,
        "printed": printed.text,
    }


def _listen(stream: TextIO, jobs: SimpleQueue[dict[str, Any]]) -> None:
    for line in stream:
        jobs.put(json.loads(line))
    os._exit(0)


if __name__ == "__main__":
    main()
