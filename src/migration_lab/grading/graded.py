"""What an exercise's check looks at: the database that a learner's migrations have produced."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from migration_lab.course import Exercise, RowChanges, given_heads, lay_start, starting
from migration_lab.files import files_in
from migration_lab.learner import versions_seen
from migration_lab.pictures import Change, Schema, snapshot
from migration_lab.runner import A_READERS, Hindrance, Met, Revision, Runner, Stopped
from migration_lab.server import Server, environment
from migration_xray.errors import AlembicError, UserError, sqlstate
from migration_xray.trace import Trace
from migration_xray.words import listed

from .blocker import Blocker
from .explanations import at_alembics_table, below, explanation, listing, mentions, quoted
from .outage import SERVERS, Watch
from .patience import slowness
from .probes import Rows, changes, cluster, diff, standing

SECONDS = 30  # for each Alembic command of a grading, on a usual machine
# Data exceptions and violated constraints: https://www.postgresql.org/docs/18/errcodes-appendix.html
DATA = ("22", "23")
WRITER_STAYS = 2.0  # seconds, after somebody began to wait for them
NEXT_WRITER_COMES = 1.0
TOO_MANY_TRIES = 60


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
    given_schema: Schema | None = None  # at the last revision that came with the exercise, where there is one
    went_down: str | None = None  # the downgrade that came to its end right before the last command
    came_down: str | None = None  # the last command, where it is such a downgrade
    in_the_way: str | None = None  # the statement of a transaction that was open beside the last command that failed

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
        self.seconds = SECONDS * slowness(running)
        self.watch = Watch(running, project, session)
        self.cluster = cluster.look(session)
        self.laid = files_in(project)
        self.beside: list[str] = []  # the statements of transactions that are open beside a command
        self.given: dict[str, bytes] = {}
        self.command = ""
        self.met_a_row = False  # whether the last command failed at the values of a row

    def begin(self, exercise: Exercise) -> None:
        """Look at what is there where the answer's own revisions begin."""
        self.exercise, self.given = exercise, starting(exercise)
        self.before = Rows(self.session, snapshot(self.session))
        if len(given_heads(exercise)) == 1:
            self.given_schema = self.before.schema
        self.stood = standing(self.session)

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
        Raises NotYet where the command has changed what is not the database's: files of the project, or the whole server.
        """
        self.command, self.met_a_row = " ".join(("alembic", *arguments)), False
        self.went_down, self.came_down = self.came_down, None
        self.watch.begin(self.command, self.seconds)
        self.say(self.command)
        variables = environment(self.running.database_url(self.database)) | {"PYTHONDONTWRITEBYTECODE": "1"}
        files = self._files()
        try:
            trace = self.runner.alembic(arguments, project or self.project, variables, self.seconds, hindrance)
        except (AlembicError, Stopped) as error:  # here, because checks take an AlembicError for the answer's
            self.in_the_way = self.beside[-1] if self.beside else None
            self.met_a_row = (sqlstate(error) or "").startswith(DATA) and not at_alembics_table(error)
            self.watch.examine(error)
            self._look_around(files)
            raise
        except BaseException:  # an interrupt: what outlives the grading is put back all the same
            with suppress(NotYet, psycopg.Error):
                self._look_around(files)
            raise
        finally:
            self.watch.end()
        self._look_around(files)
        if arguments[0] == "downgrade":
            self.came_down = self.command
        return trace

    def downgrade(self, revision: str | None) -> Trace:
        """Go down to a revision, None for base, and see that this leads back to the schema that was there before.

        That is known of the start and of the last given revision. Raises NotYet where the command fails, or where it leaves
        something or takes too much: what comes then would stumble over that, and be told as something else.
        """
        try:
            trace = self.alembic("downgrade", revision or "base")
        except AlembicError as error:
            raise NotYet(
                f"the upgrade ran, but `alembic downgrade {revision or 'base'}` failed.\n{quoted(error)}"
                f"{below(explanation(error, self))}\n  Without a way back, a bad release can't be rolled back."
            ) from None
        if left := self.not_back_at(revision):
            raise NotYet(
                f"the upgrade ran, but the downgrade does not lead back to {revision or 'base'}:{listing(left)}\n"
                "  downgrade() takes back all that upgrade() did, and no more."
            )
        return trace

    def not_back_at(self, revision: str | None) -> list[Change]:
        """How the schema differs from what it was at a revision, None for base: at the start, or at the last given one."""
        wanted = self.given_schema if revision in given_heads(self.exercise) else None
        if revision == self.start_revision:
            wanted = self.start
        return diff(wanted, snapshot(self.session)) if wanted else []

    def meaning(self, error: AlembicError) -> str | None:
        """What a command's error means, as far as that can be seen in the files and the database; else None."""
        return explanation(error, self)

    def otherwise_than_given(self) -> list[str]:
        """What the answer's upgrade does otherwise than the one in the starter, in sentences: schema and rows.

        The database is where the answer's own revisions begin, and is there again afterwards if there is nothing to say.
        """
        back = next(iter(given_heads(self.exercise)), self.start_revision)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            project = Path(folder).resolve() / "project"
            lay_start(project, self.exercise)
            self.alembic("upgrade", "head", project=project)
        given = snapshot(self.session)
        rows = changes(Rows(self.session, given), self.after, RowChanges(), within=self.schema)
        if found := [*map(str, diff(given, self.schema)), *rows]:
            return found  # the answer's downgrade is for its own upgrade, and may fail here
        self.alembic("downgrade", back or "base")
        return []

    def _files(self) -> dict[str, bytes]:
        """The files that were in the project before the first command, as they are now."""
        return {
            file.relative_to(self.project).as_posix(): file.read_bytes() if file.is_file() else b""
            for file in self.laid
        }

    def _look_around(self, files: dict[str, bytes]) -> None:
        """Raise NotYet where a command has changed the project's files or what belongs to the whole server."""
        now = self._files()
        if changed := [name for name, content in files.items() if now[name] != content]:
            shown = changed if len(changed) < 4 else [*changed[:3], f"{len(changed) - 3} more"]
            raise NotYet(
                f"while `{self.command}` ran, your migration changed files of the project: {listed(shown)}. "
                "A migration changes the database, and leaves the files to people: on a server they come with the release."
            )
        if done := self._put_back():
            raise NotYet(
                f"`{self.command}` changed what belongs to the whole server, not to this database:{listing(done)}\n"
                "  Everybody who uses the server has it then. The task asks for no such thing."
            )

    def _put_back(self) -> list[str]:
        """Undo what a command has changed of the whole server; returns sentences about it."""

        def speaks_of(pattern: str) -> str | None:
            return mentions(self.project, self.given, pattern)

        try:
            return cluster.put_back(self.session, self.cluster, speaks_of)
        except psycopg.Error:  # the migration may have ended the check's session
            with suppress(psycopg.Error, UserError), self.running.connect(self.database) as another:
                if done := cluster.put_back(another, self.cluster, speaks_of):
                    return done
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
        return self.refused(lambda: self.session.execute(statement, parameters or None))

    def refused(self, write: Callable[[], object]) -> psycopg.Error | None:
        """The same for all that ``write`` does in the check's session."""
        try:
            with self.session.transaction(force_rollback=True):
                write()
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
        """How many of a table's rows with a value in the column were last written before its first trigger was made."""
        return self.value(
            sql.SQL(
                "SELECT count(*) FROM {} WHERE {} IS NOT NULL AND age(xmin) >"
                " (SELECT max(age(xmin)) FROM pg_trigger WHERE tgrelid = {}::regclass AND NOT tgisinternal)"
            ).format(sql.Identifier(table), sql.Identifier(column), sql.Literal(table))
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
                with self._beside(statement):
                    yield
            finally:
                leaves.cancel()
                leaves.join()

    @contextmanager
    def blocker(self, statement: str, seconds: float) -> Iterator[Blocker]:
        """Somebody's transaction, begun with this statement, that a migration may have to wait for."""
        with Blocker(self.connect, statement, seconds) as blocker, self._beside(statement):
            yield blocker

    @contextmanager
    def _beside(self, statement: str) -> Iterator[None]:
        """Note that a transaction with this statement is open."""
        self.beside.append(statement)
        try:
            yield
        finally:
            self.beside.remove(statement)

    def leave_invalid(self, build: str, writer: str) -> None:
        """Leave an INVALID index, as a build with CONCURRENTLY does that gives up beside a writer's open transaction."""
        with self.connect() as writing, self.connect() as building:
            writing.execute("BEGIN")
            writing.execute(writer)
            building.execute("SET lock_timeout = '100ms'")
            with suppress(psycopg.errors.LockNotAvailable):
                building.execute(build)
            writing.execute("ROLLBACK")

    def long_transaction(self, statement: str, seconds: float) -> Blocker:
        """Somebody's transaction, begun with this statement; use it as a context.

        It is open for so many seconds after a migration began to wait for it, and longer than a migration can sit it out.
        """
        return Blocker(self.connect, statement, seconds, patient=True)

    def always_locked(self, table: str) -> Hindrance:
        """Transactions that read a table, for :meth:`alembic`: one after the other, for longer than a migration should try.

        Every try times out soon, and no pause between two tries takes long.
        """
        return Hindrance([self._oid(table)], A_READERS, times=TOO_MANY_TRIES)

    def latecomer(self, table: str, seconds: float, after: str | None = None) -> Hindrance:
        """Somebody's transaction that reads a table, for :meth:`alembic`: it comes right before a statement that has to wait.

        It is open for so many seconds from then on. ``after`` names a revision, whose statements it lets pass.
        """
        passed = [Met(one.where, one.sql) for one in self.trace.statements if after and one.revision == after]
        return Hindrance([self._oid(table)], A_READERS, seconds, met=passed)

    def _oid(self, table: str) -> int:
        return self.value("SELECT %s::regclass::oid", table)

    def upgrade_beside_writers(self, first: str, second: str) -> tuple[Trace, float]:
        """Run ``upgrade head`` while writers work, one of whom takes their time: what x-ray saw, and a wait in seconds.

        The first writer's transaction is open before the upgrade begins, and stays for ``WRITER_STAYS`` seconds in its way.
        The second one comes as soon as the upgrade waits for the first or is over, and otherwise after ``NEXT_WRITER_COMES``
        seconds; the wait is theirs. Raises AlembicError where the upgrade fails, and psycopg's error where the second writer
        was refused.
        """
        waits: list[float] = []
        refused: list[psycopg.Error] = []

        def write() -> None:
            blocker.met.wait(NEXT_WRITER_COMES)
            with suppress(UserError), self.connect() as session:  # the check ends with it, in the thread that reports
                began = time.monotonic()
                try:
                    session.execute(second)
                except psycopg.Error as error:
                    refused.append(error)
                waits.append(time.monotonic() - began)

        next_writer = threading.Thread(target=write)
        with self.blocker(first, WRITER_STAYS) as blocker:
            next_writer.start()
            try:
                trace = self.alembic("upgrade", "head")
            finally:
                blocker.met.set()
                next_writer.join()
        if refused:
            raise refused[0]
        return trace, max(waits, default=0.0)

    def revisions(self) -> list[Revision]:
        """The revisions that the learner added, newest first, as Alembic reads them in the process of the migrations."""
        applied = {row[0] for row in self.rows("SELECT version_num FROM alembic_version")}
        return self.runner.revisions(self.project, sorted(applied), self.start_revision or "base", self.seconds)
