"""Grade an exercise by the database that the learner's migrations produce, never by their text.

A fresh database at the exercise's start state, a copy of the learner's project, ``upgrade head``; then the exercise's
own check looks at what stands there; then down, which must lead back to the start, and up once more.
"""

from __future__ import annotations

import ast
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg
from psycopg import sql

from migration_lab.course import Exercise, Grade, Outcome, lay_start, versions_seen
from migration_lab.errors import in_words
from migration_lab.files import IGNORED, files_in
from migration_lab.pictures import Schema, diff, snapshot
from migration_lab.runner import Runner, Stopped
from migration_lab.server import Server, environment, server, startstate
from migration_lab.workspace import Workspace
from migration_xray.errors import AlembicError, UserError
from migration_xray.trace import Trace

from .blocker import Blocker
from .outage import SERVERS, Exhausted, Outage, Watch

SECONDS = 30  # for each Alembic command of a grading
TIMEOUTS = {
    "statement_timeout": f"{SECONDS - 5}s",  # first of all: the server's refusal leads to the line at fault
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": f"{SECONDS}s",
}
UNSAVED = {"synchronous_commit": "off"}  # a commit need not reach the disk: after a crash the database is dropped
WRITER_STAYS = 2.0  # seconds, after somebody began to wait for them
NEXT_WRITER_COMES = 1.0


def silently(step: str) -> None:
    """Tell nobody which step of a grading comes next."""


class NotYet(Exception):
    """Raised by an exercise's check: what was found, what was expected, why it matters, where to look."""


class Graded:
    """What an exercise's ``check(db)`` looks at: the database after the learner's upgrade.

    ``start`` and ``schema`` are the schema before and after, ``start_revision`` is where it began (None: at base),
    ``trace`` is what x-ray saw of the upgrade, ``project`` is the copy of the learner's project.
    """

    trace: Trace

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
        [(self.began,)] = session.execute("SELECT pg_current_xact_id()::xid")
        self.watch = Watch(running, project, session)

    def upgrade(self) -> None:
        """The upgrade that is graded."""
        self.trace = self.alembic("upgrade", "head")
        self.schema = snapshot(self.session)

    def alembic(self, *arguments: str) -> Trace:
        """Run one more Alembic command on the graded database: what x-ray saw of it.

        Raises AlembicError, with its ``trace``, where the command fails, and UserError where the server is the cause.
        """
        self.command = " ".join(("alembic", *arguments))
        self.watch.begin(self.command, SECONDS)
        self.say(self.command)
        variables = environment(self.running.database_url(self.database)) | {"PYTHONDONTWRITEBYTECODE": "1"}
        try:
            return self.runner.alembic(arguments, self.project, variables, SECONDS)
        except (AlembicError, Stopped) as error:  # here, because checks take an AlembicError for the answer's
            self.watch.examine(error)
            raise

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
        return self.value(sql.SQL(query).format(sql.Identifier(table)), since or str(self.began))

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


def check(exercise: Exercise, workspace: Workspace | None = None, say: Callable[[str], None] = silently) -> Grade:
    """Grade the files that stand in the learner's project of this exercise; ``say`` is told each step before it begins.

    Neither those files nor the exercise's open database are touched. Takes up to half a minute for each of three
    Alembic commands where the answer hangs; else well under a second at the small start state.
    """
    workspace = workspace or Workspace()
    project = workspace.project(exercise.place)
    if not project.exists():
        return not_attempted(exercise)

    def lay(folder: Path) -> None:
        shutil.copytree(project, folder, ignore=IGNORED)

    return grade(exercise, lay, lambda: server(workspace=workspace), f"check_{workspace.tag}_", say)


def grade(
    exercise: Exercise,
    lay: Callable[[Path], object],
    choose_server: Callable[[], Server],
    stem: str,
    say: Callable[[str], None] = silently,
) -> Grade:
    """Grade the project that ``lay`` writes into a folder, which is not there yet and is deleted at the end.

    ``choose_server`` is called once there is something to grade. The names of the scratch databases begin with ``stem``.
    """
    try:
        with in_words(), tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            project = Path(folder).resolve() / "project"
            lay(project)
            if not attempted(exercise, project):
                return not_attempted(exercise)
            running = choose_server()
            with _scratch(running, exercise, stem) as database:
                return _graded(exercise, running, database, project, say)
    except Outage as outage:
        return Grade(exercise, Outcome.COULD_NOT_RUN, str(outage), at_fault=False)
    except UserError as error:
        return Grade(exercise, Outcome.COULD_NOT_RUN, f"{error} Your answer is not the cause.", at_fault=False)


def not_attempted(exercise: Exercise) -> Grade:
    return Grade(exercise, Outcome.NOT_ATTEMPTED, "the starter is unchanged. Write your answer, run its cell, check again.")


def attempted(exercise: Exercise, project: Path) -> bool:
    """Whether a project's files differ from those that the exercise began with."""
    return _contents(project) != starting(exercise)


@cache
def starting(exercise: Exercise) -> dict[str, bytes]:
    """The files that an exercise begins with: path → content."""
    with tempfile.TemporaryDirectory() as folder:
        start = Path(folder) / "start"
        lay_start(start, exercise)
        return _contents(start)


def _graded(exercise: Exercise, running: Server, database: str, project: Path, say: Callable[[str], None]) -> Grade:
    checks = _load(exercise)
    with Runner.ready() as runner, running.connect(database) as session:
        graded = Graded(running, database, project, session, runner, say)
        try:
            said = _checked(exercise, checks, graded)
        except (NotYet, Exhausted) as finding:
            return Grade(exercise, Outcome.NOT_YET, str(finding))
        except AlembicError as error:
            meaning = checks.explain(error) if hasattr(checks, "explain") else None
            return Grade(exercise, Outcome.COULD_NOT_RUN, f"`{graded.command}` failed.\n{_quoted(error)}{_below(meaning)}")
        except Stopped as end:
            return Grade(exercise, Outcome.COULD_NOT_RUN, f"{end}. Nothing of the lab was harmed.")
        except UserError:
            raise
        except Exception as error:
            return Grade(exercise, Outcome.NOT_YET, _unforeseen(error, graded))
    passed: str = getattr(checks, "PASSED", "your database is what was asked for.")
    return Grade(exercise, Outcome.PASSED, said or passed)


def _checked(exercise: Exercise, checks: ModuleType, graded: Graded) -> str | None:
    """Run the exercise's check and the way back; gives what the check has to say of an answer that passes.

    Whatever goes wrong, the server is asked first whether it is the cause: then it is no finding, and no try.
    """
    try:
        graded.upgrade()
        said = checks.check(graded)
        if exercise.round_trip:
            _round_trip(graded, _given(exercise))
    except (Outage, Exhausted):
        raise
    except Exception as error:
        graded.watch.examine(error)
        raise
    if graded.watch.refused:
        raise graded.watch.refused
    return said


def _unforeseen(error: Exception, graded: Graded) -> str:
    """What to say where the check itself failed at the database that the migration has left."""
    from migration_xray.command import sentence  # not above: with Alembic it takes a tenth of a second

    if isinstance(error, psycopg.errors.LockNotAvailable | psycopg.errors.QueryCanceled):
        why = "A session that your migration opened still holds a lock. Close every session that a migration opens."
    elif isinstance(error, psycopg.OperationalError) and (file := graded.watch.ends_sessions()):
        why = f"Your migration ended the check's own session. {file} ends sessions; leave those of others alone."
    else:
        why = f"It stands otherwise than was foreseen:{_listed(diff(graded.start, graded.schema))}"
    return f"the upgrade ran, but the check could not look at the database ({sentence(error)}).\n  {why}"


def _round_trip(graded: Graded, given: str | None) -> None:
    """Down must lead back to the start, and up again to the same goal. Raises NotYet where it does not.

    The journey stops at the revision that came with the exercise: further down, its tables go, and take along what the
    learner's downgrade() has left.
    """
    failed = "the upgrade is right, but `alembic downgrade` failed."
    if given:
        _downgrade(graded, given, failed)
        stop = snapshot(graded.session)
        failed = f"downgrade() ran, and does not lead back to {given}: the way further down is closed now."
    _downgrade(graded, graded.start_revision or "base", failed)
    _must_lead_back(graded.start, snapshot(graded.session), "the start")
    try:
        if given:
            graded.alembic("upgrade", given)
            _must_lead_back(snapshot(graded.session), stop, given)
        graded.alembic("upgrade", "head")
    except AlembicError as error:
        raise NotYet(f"up and down work once, but the second upgrade failed.\n{_quoted(error)}") from None
    if left := diff(graded.schema, snapshot(graded.session)):
        raise NotYet(f"the second upgrade leads elsewhere than the first:{_listed(left)}")


def _downgrade(graded: Graded, revision: str, failed: str) -> None:
    try:
        graded.alembic("downgrade", revision)
    except AlembicError as error:
        raise NotYet(f"{failed}\n{_quoted(error)}\n  Without a way back, a bad release can't be rolled back.") from None


def _must_lead_back(wanted: Schema, found: Schema, place: str) -> None:
    if left := diff(wanted, found):
        raise NotYet(
            f"the upgrade is right, but the downgrade does not lead back to {place}:"
            f"{_listed(left)}\n  downgrade() takes back all that upgrade() did, and no more."
        )


def _given(exercise: Exercise) -> str | None:
    """The last revision that came with the exercise and is no part of the answer; None where there is none, or two."""
    versions = Path("migrations", "versions")
    starter, solution = (exercise.folder / folder / versions for folder in ("starter", "solution"))
    files = [file for file in starter.glob("*.py") if not (solution / file.name).exists()]
    given = dict(map(_revision, files))
    last = given.keys() - given.values()
    return last.pop() if len(last) == 1 else None


def _revision(file: Path) -> tuple[str, str | None]:
    """The revision and the down revision of a file of the course's, which writes them as literals."""
    assigned = {
        target.id: statement.value
        for statement in ast.parse(file.read_bytes()).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
    return ast.literal_eval(assigned["revision"]), ast.literal_eval(assigned["down_revision"])


@contextmanager
def _scratch(running: Server, exercise: Exercise, stem: str) -> Iterator[str]:
    """A fresh database at the exercise's start state, with time limits.

    At the end it is dropped, in a thread: nobody has to wait for that, but the process does not end before. A session
    named like the database stands beside it: a scratch database without one was left by a check that died.
    """
    database = f"{stem}{os.getpid()}_{secrets.token_hex(3)}"
    session = startstate.patient(running, application_name=database)
    try:
        for (leftover,) in session.execute(
            "SELECT datname FROM pg_database JOIN pg_roles r ON r.oid = datdba AND rolname = current_user"
            " WHERE starts_with(datname, %s) AND datname NOT IN (SELECT application_name FROM pg_stat_activity)",
            [stem],
        ).fetchall():
            startstate.drop_database(session, leftover)
        startstate.create_by(session, running, database, exercise.start)
        command = sql.SQL("ALTER DATABASE {} SET {} = {}")
        limits = [
            command.format(sql.Identifier(database), sql.Identifier(setting), sql.Literal(value))
            for setting, value in (TIMEOUTS | UNSAVED).items()
        ]
        session.execute(sql.SQL("; ").join(limits))  # in one statement, and so in one transaction
        yield database
    finally:
        threading.Thread(target=_drop, args=(running, session, database), name=f"drop {database}").start()


def _drop(running: Server, session: psycopg.Connection, database: str) -> None:
    """Drop a scratch database and close its session. Where the server refuses, it is left to the next check."""
    with suppress(UserError, psycopg.Error), session:
        try:
            startstate.drop_database(session, database)
        except psycopg.OperationalError:  # a migration may have ended every session that it found
            with running.connect() as another:
                startstate.drop_database(another, database)


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes().strip()
        for file in files_in(folder)
        if file.name != ".laid"
    }


def _load(exercise: Exercise) -> ModuleType:
    spec = spec_from_file_location(f"check_{exercise.id}", exercise.folder / "check.py")
    assert spec is not None and spec.loader is not None  # each file that ends in .py has them
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _quoted(error: AlembicError) -> str:
    return "\n".join(f"  {line}" for line in str(error).splitlines())


def _below(meaning: str | None) -> str:
    return f"\n  {meaning}" if meaning else ""


def _listed(changes: list) -> str:
    return "".join(f"\n  - {change}" for change in changes)
