"""What an exercise's check looks at: the database that a learner's migrations have produced."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from migration_lab.course import Exercise
from migration_lab.learner import versions_seen
from migration_lab.pictures import snapshot
from migration_lab.runner import Hindrance, Runner, Stopped
from migration_lab.server import Server, environment
from migration_xray.errors import AlembicError, UserError
from migration_xray.trace import Trace

from .blocker import Blocker
from .inforce import standing
from .kept import changes
from .outage import SERVERS, Watch
from .rows import Rows

SECONDS = 30  # for each Alembic command of a grading
WRITER_STAYS = 2.0  # seconds, after somebody began to wait for them
NEXT_WRITER_COMES = 1.0


class NotYet(Exception):
    """Raised by an exercise's check: what was found, what was expected, why it matters, where to look."""


class Graded:
    """What an exercise's ``check(db)`` looks at: the database after the learner's upgrade.

    ``start`` and ``schema`` are the schema before and after, ``start_revision`` is where it began (None: at base), ``trace``
    is what x-ray saw of the upgrade, ``project`` is the copy of the learner's project. ``before`` and ``after`` have the
    rows: where the answer's own revisions begin, and after the upgrade.
    """

    exercise: Exercise
    trace: Trace
    before: Rows
    after: Rows

    def __init__(
        self,
        running: Server,
        database: str,
        project: Path,
        session: psycopg.Connection,
        runner: Runner,
        say: Callable[[str], None],
    ):
        self.running, self.database, self.project, self.session = running, database, project, session
        self.runner, self.say = runner, say
        self.start = self.schema = snapshot(session)
        self.start_revision = ", ".join(versions_seen(session)) or None
        self.watch = Watch(running, project, session)
        self.command = ""

    def begin(self, exercise: Exercise) -> None:
        """Look at what is there where the answer's own revisions begin."""
        self.exercise = exercise
        self.before = Rows(self.session, snapshot(self.session))
        self.stood = standing(self.session)
        self.began = self.now()

    def upgrade(self) -> None:
        """The upgrade that is graded."""
        self.began = self.now()
        self.trace = self.alembic("upgrade", "head")
        self.schema = snapshot(self.session)
        self.after = Rows(self.session, self.schema)

    def alembic(self, *arguments: str, project: Path | None = None, hindrance: Hindrance | None = None) -> Trace:
        """Run one more Alembic command on the graded database, by default in the copy of the learner's project.

        Returns what x-ray saw of it. With a ``hindrance``, somebody's transaction is in the way of its statements.
        Raises AlembicError, with its ``trace``, where the command fails, and UserError where the server is the cause.
        """
        self.command = " ".join(("alembic", *arguments))
        self.watch.begin(self.command, SECONDS)
        self.say(self.command)
        variables = environment(self.running.database_url(self.database)) | {"PYTHONDONTWRITEBYTECODE": "1"}
        try:
            return self.runner.alembic(arguments, project or self.project, variables, SECONDS, hindrance)
        except (AlembicError, Stopped) as error:  # here, because checks take an AlembicError for the answer's
            self.watch.examine(error)
            raise

    def lost_on_the_way_back(self) -> list[str]:
        """What became of the rows, in sentences, at the end of a downgrade to where the answer's own revisions began."""
        now = snapshot(self.session)
        return changes(self.before, Rows(self.session, now), self.exercise.rows_back, within=now)

    def rows(self, query: str | sql.Composed, *parameters: Any) -> list[tuple[Any, ...]]:
        """The rows of a query; what it changes is rolled back."""
        with self.session.transaction(force_rollback=True):
            cursor = self.session.execute(query, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def value(self, query: str | sql.Composed, *parameters: Any) -> Any:
        """The one value of a query, or None where it has no row."""
        rows = self.rows(query, *parameters)
        return rows[0][0] if rows else None

    def refusal(self, statement: str, *parameters: Any) -> psycopg.Error | None:
        """Why the server refuses a statement (the error, with its ``sqlstate``), or None where it accepts it.

        What the statement changes is rolled back, deferred constraints included.
        """
        try:
            with self.session.transaction(force_rollback=True):
                self.session.execute(statement, parameters or None)
                self.session.execute("SET CONSTRAINTS ALL IMMEDIATE")
        except psycopg.Error as error:
            if SERVERS.match(error.sqlstate or ""):
                raise
            return error
        return None

    def rows_written(self, table: str, since: str | None = None) -> int:
        """How many of a table's rows were written, by UPDATE or by a rewrite: those with a version of its own.

        ``since`` is what ``now`` gave; without it, the beginning of the upgrade counts.
        https://www.postgresql.org/docs/18/ddl-system-columns.html (xmin)
        """
        return self._written("SELECT count(*) FROM {} WHERE age(xmin) <= age(%s::text::xid)", table, since)

    def written_together(self, table: str, since: str | None = None) -> int:
        """How many of a table's rows one transaction wrote, at the most; ``since`` as for :meth:`rows_written`.

        A savepoint counts as a transaction: what was written in one has an xmin of its own.
        """
        each = "SELECT count(*) FROM {} WHERE age(xmin) <= age(%s::text::xid) GROUP BY xmin"
        return self._written(f"SELECT coalesce(max(count), 0) FROM ({each}) AS written", table, since)

    def filled_before_trigger(self, table: str, column: str) -> int:
        """How many of a table's rows with a value in the column were last written before its newest trigger was made."""
        return self.value(
            sql.SQL(
                "SELECT count(*) FROM {} WHERE {} IS NOT NULL AND age(xmin) >"
                " (SELECT min(age(xmin)) FROM pg_trigger WHERE tgrelid = {}::regclass AND NOT tgisinternal)"
            ).format(sql.Identifier(table), sql.Identifier(column), sql.Literal(table))
        )

    def filled_with_schema(self, table: str, column: str) -> int:
        """How many of a table's rows were last written by a transaction that added the column or made a trigger."""
        return self.value(
            sql.SQL(
                "SELECT count(*) FROM {} WHERE xmin IN"
                " (SELECT xmin FROM pg_trigger WHERE tgrelid = {table}::regclass AND NOT tgisinternal"
                " UNION ALL SELECT xmin FROM pg_attribute WHERE attrelid = {table}::regclass AND attname = {column})"
            ).format(sql.Identifier(table), table=sql.Literal(table), column=sql.Literal(column))
        )

    def now(self) -> str:
        """A moment to count what is written from."""
        return self.value("SELECT pg_current_xact_id()::xid::text")

    def _written(self, query: str, table: str, since: str | None) -> int:
        return self.value(sql.SQL(query).format(sql.Identifier(table)), since or self.began)

    def plan(self, query: str) -> list[dict]:
        """The nodes of a query's plan, from the top.

        https://www.postgresql.org/docs/18/sql-explain.html (FORMAT JSON)
        """
        [([plan],)] = self.session.execute(f"EXPLAIN (FORMAT JSON) {query}")
        nodes, waiting = [], [plan["Plan"]]
        while waiting:
            nodes.append(waiting.pop(0))
            waiting += nodes[-1].get("Plans", [])
        return nodes

    def connect(self) -> psycopg.Connection:
        """One more session in the graded database, for checks that need two at once. Close it."""
        try:
            return self.running.connect(self.database)
        except UserError as refusal:
            self.watch.refused = refusal
            raise

    @contextmanager
    def open_transaction(self, statement: str, seconds: float) -> Iterator[None]:
        """Somebody's transaction, begun with this statement before the block, and open for so many seconds at the most.

        With the end of the block it is over too.
        """
        with self.connect() as session:
            session.execute("BEGIN")
            session.execute(statement)

            def leave() -> None:
                with suppress(psycopg.Error):  # the session may be gone with its server, which the check then says
                    session.execute("COMMIT")

            leaves = threading.Timer(seconds, leave)
            leaves.start()
            try:
                yield
            finally:
                leaves.cancel()
                leaves.join()

    def blocker(self, statement: str, seconds: float) -> Blocker:
        """Somebody's transaction, begun with this statement, that a migration may have to wait for; use it as a context."""
        return Blocker(self.connect, statement, seconds)

    def upgrade_beside_writers(self, first: str, second: str) -> tuple[Trace, float]:
        """Run ``upgrade head`` while writers work, one of whom takes their time: what x-ray saw, and a wait in seconds.

        The first writer's transaction is open before the upgrade begins, and stays for ``WRITER_STAYS`` seconds in its way.
        The second one comes as soon as the upgrade waits for the first or is over, and otherwise after ``NEXT_WRITER_COMES``
        seconds; the wait is theirs. Raises AlembicError where the upgrade fails.
        """
        waits: list[float] = []

        def write() -> None:
            blocker.met.wait(NEXT_WRITER_COMES)
            with suppress(UserError), self.connect() as session:  # the check ends with it, in the thread that reports
                began = time.monotonic()
                session.execute(second)
                waits.append(time.monotonic() - began)

        next_writer = threading.Thread(target=write)
        with self.blocker(first, WRITER_STAYS) as blocker:
            next_writer.start()
            try:
                trace = self.alembic("upgrade", "head")
            finally:
                blocker.met.set()
                next_writer.join()
        return trace, max(waits, default=0.0)

    def revisions(self) -> list:
        """Alembic's ``Script`` of each revision that the learner added, newest first.

        https://alembic.sqlalchemy.org/en/latest/api/script.html
        """
        from alembic.script import ScriptDirectory

        script = ScriptDirectory(str(self.project / "migrations"))
        applied = {row[0] for row in self.rows("SELECT version_num FROM alembic_version")}
        return list(script.iterate_revisions(tuple(applied), self.start_revision or "base"))
