"""What a learner waits for in a lesson: %lesson, %reset and %alembic."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO

from psycopg import sql

from migration_lab.learner import open_place
from migration_lab.server import Server, environment, startstate, variables
from migration_xray import command

from .learner import LESSON, learner
from .measurement import Timed, timed
from .program import BIN, run


@contextmanager
def opening() -> Iterator[list[Timed]]:
    """A lesson that has been opened before, its database gone: what a learner meets after a `git pull`."""
    with learner() as (workspace, running):

        def ours() -> float:
            _drop(running, LESSON.place)
            shutil.rmtree(workspace.project(LESSON.place), ignore_errors=True)
            return timed(lambda: open_place(LESSON, workspace=workspace))

        yield [ours, _clone(running)]


@contextmanager
def resetting() -> Iterator[list[Timed]]:
    """A reset of files that the learner has changed, so that they are saved first."""
    with learner() as (workspace, running):
        open_place(LESSON, workspace=workspace)
        changes = iter(range(1_000_000))

        def ours() -> float:
            note = workspace.project(LESSON.place) / "note.txt"
            note.write_text(str(next(changes)), encoding="utf-8")
            _drop(running, "bare")
            return timed(lambda: open_place(LESSON, reset=True, workspace=workspace))

        yield [ours, _clone(running)]


def _clone(running: Server) -> Timed:
    with running.connect() as session:
        template = startstate.template_name("small", session.info.user)
    statement = sql.SQL("CREATE DATABASE bare TEMPLATE {}").format(sql.Identifier(template))

    def bare() -> float:
        _drop(running, "bare")
        with running.connect() as session:
            return timed(lambda: session.execute(statement))

    return bare


def _drop(running: Server, database: str) -> None:
    """Drop a database, and leave nothing unwritten: the next DROP or CREATE DATABASE would have to wait for it."""
    with running.connect() as session:
        startstate.drop_database(session, database)
        session.execute("CHECKPOINT")


REVISION = """
revision = "0004_bench"
down_revision = "0003_orders"
def upgrade(): pass
def downgrade(): pass
"""


@contextmanager
def alembic() -> Iterator[list[Timed]]:
    """A revision that costs the server next to nothing: what is compared is the way to it."""
    with learner() as (workspace, running):
        opened = open_place(LESSON, workspace=workspace)
        (opened.project / "migrations" / "versions" / "0004_bench.py").write_text(REVISION, encoding="utf-8")
        upgrade, downgrade = ["upgrade", "head"], ["downgrade", "-1"]

        def in_process(arguments: list[str]) -> None:
            command.run(arguments, opened.project, StringIO())

        def ours() -> float:
            taken = timed(lambda: in_process(upgrade))
            in_process(downgrade)
            return taken

        def bare() -> float:
            taken = timed(lambda: run([BIN / "alembic", *upgrade], opened.project))
            in_process(downgrade)
            return taken

        with variables(environment(opened.url)):
            in_process(upgrade)
            in_process(downgrade)
            yield [ours, bare]
