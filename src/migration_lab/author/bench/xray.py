"""What x-ray adds to a migration, and how steady the traffic is."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from io import StringIO
from pathlib import Path
from statistics import quantiles

import psycopg

from migration_lab.server import environment, startstate, variables
from migration_xray import command
from migration_xray.errors import UserError
from migration_xray.traffic import Traffic, last_traffic
from migration_xray.watch import watching

from .learner import learner
from .measurement import Timed, timed


@contextmanager
def large() -> Iterator[list[Timed]]:
    """A migration of a second or more: 300,000 rows are written."""
    with _migration("large", 'op.execute("UPDATE orders SET total = total + 1")') as functions:
        yield functions


@contextmanager
def small() -> Iterator[list[Timed]]:
    """A hundred statements that take next to nothing each."""
    body = "for n in range(100):\n        op.execute(f'ALTER TABLE users ALTER COLUMN name SET STATISTICS {n}')"
    with _migration("small", body) as functions:
        yield functions


@contextmanager
def _migration(start: str, body: str) -> Iterator[list[Timed]]:
    """The upgrade of a revision with this body, under x-ray and by itself; before each the table is as it was."""
    revision = f'from alembic import op\n\nrevision = "0004_bench"\ndown_revision = "0003_orders"\n\n\ndef upgrade():\n    {body}\n'
    with learner() as (workspace, running), tempfile.TemporaryDirectory() as folder:
        project = Path(folder).resolve()
        startstate.lay_project(project, start)
        (project / "migrations" / "versions" / "0004_bench.py").write_text(revision, encoding="utf-8")

        def run(watch: bool) -> float:
            startstate.create_database(running, "bench", start)
            with running.connect() as session:
                session.execute("CHECKPOINT")
            with variables(environment(running.database_url("bench"))), watching("") if watch else nullcontext():
                return timed(lambda: command.run(["upgrade", "head"], project, StringIO()))

        yield [lambda: run(True), lambda: run(False)]


@contextmanager
def traffic() -> Iterator[list[Timed]]:
    """How steady the application is with no migration running: its reads' 99th percentile, and one plain session's."""
    with learner() as (_, running):
        startstate.create_database(running, "bench", "large")
        url = running.database_url("bench")

        def ours() -> float:
            with Traffic(url, "users"):
                time.sleep(3)
            felt = last_traffic()
            if felt.achieved < 0.95:
                raise UserError(f"The traffic kept only {felt.achieved:.0%} of its timetable.")
            return quantiles(felt.times("read"), n=100)[-1] / 1000

        def bare() -> float:
            with running.connect("bench") as session:
                read = "SELECT id, name, email, age, created_at FROM users WHERE id = %s"
                times = []
                for key in range(1, 151):
                    times.append(timed(partial(_row, session, read, key * 1000)))
                    time.sleep(0.02)
            return quantiles(times, n=100)[-1]

        yield [ours, bare]


def _row(session: psycopg.Connection, query: str, key: int) -> None:
    session.execute(query, [key]).fetchone()
