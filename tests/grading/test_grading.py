"""What a check says about answers that no author foresaw, and that it leaves nothing behind, whatever they do.

Learners are graded while they learn: their migrations loop, exit, close what is not theirs, and are interrupted. Each
of that is a sentence to them; none may touch their own database and files, or leave a process, a session or a database.
(The answers that stand in the exercises' folders are test_exercises.py's part.)
"""

from __future__ import annotations

import ast
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from textwrap import dedent, indent

import psutil
import psycopg
import pytest
from tests.waiting import wait_until

from migration_lab.author.refresh import new_learner
from migration_lab.course.manifest import find_exercise
from migration_lab.files import content_digest, files_in
from migration_lab.grading import graded, outage, patience, scratch
from migration_lab.grading import grader as grading
from migration_lab.learner import answers, lesson
from migration_lab.learner.grade import Grade, Outcome
from migration_lab.learner.progress import Progress, report
from migration_lab.pictures import snapshot
from migration_lab.runner import Runner, forked
from migration_lab.server import startstate
from migration_lab.server.embedded import Embedded
from migration_lab.server.postgres import server
from migration_lab.workspace import Workspace
from migration_xray.errors import UserError

EXERCISE = find_exercise("first_step")
FILE = "migrations/versions/0004_city.py"
SOLUTION = (EXERCISE.folder / "solution" / FILE).read_text(encoding="utf-8")
PASSED, NOT_YET, NOT_ATTEMPTED, COULD_NOT_RUN = Outcome
on_posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX process groups or signals")


MIGRATION = '''"""Add the city of a user, and do something else."""

import os, pathlib, subprocess, sys, threading, time
import psycopg
import sqlalchemy as sa
from alembic import op

revision = "0004_city"
down_revision = "0003_orders"


def upgrade():
    op.add_column("users", sa.Column("city", sa.String(length=50), nullable=True))
{upgrade}


def downgrade():
{downgrade}
    op.drop_column("users", "city")
'''


def migration(upgrade: str = "pass", downgrade: str = "pass") -> str:
    """A right answer that does something more, on the way up or down."""
    lines = {"upgrade": upgrade, "downgrade": downgrade}
    return MIGRATION.format(**{name: indent(dedent(text), "    ") for name, text in lines.items()})


def write(workspace: Workspace, answer: str | bytes) -> Path:
    project = workspace.project(EXERCISE.place)
    if not project.exists():
        lesson.lay_start(project, EXERCISE)
    (project / FILE).write_bytes(answer if isinstance(answer, bytes) else answer.encode())
    return project


def left_behind(workspace: Workspace, running) -> list[str]:
    """Databases of checks, sessions in them, and processes that ran migrations."""
    with running.connect() as session:
        left = session.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %(stem)s)"
            " UNION ALL SELECT application_name FROM pg_stat_activity WHERE starts_with(application_name, %(stem)s)",
            {"stem": f"check_{workspace.tag}_"},
        ).fetchall()
    ready = {forked.pid(), Runner.spare and Runner.spare.process.pid}
    runners = [child.pid for child in psutil.Process().children(recursive=True) if child.pid not in ready]
    return [name for (name,) in left] + [f"process {pid}" for pid in runners if is_running(pid)]


def assert_nothing_left(workspace: Workspace, running) -> None:
    end = time.monotonic() + 10  # a session that is closed is gone from the server a moment later
    while (left := left_behind(workspace, running)) and time.monotonic() < end:
        time.sleep(0.02)
    assert left == []


def end_server() -> None:
    """End the process that forks the workers: the next check starts one from where it is then."""
    if forked.pid():
        forked._server.requests.close()
        forked._server.process.wait(10)


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def grade(workspace, running):
    """Grade a text as the answer to first_step; its files are the same after it, and nothing is left behind."""

    def graded(answer: str | bytes) -> Grade:
        Runner.warm_up()
        project = write(workspace, answer)
        before, folder = content_digest(project), os.getcwd()
        grade = grading.check(EXERCISE, workspace)
        assert (content_digest(project), os.getcwd()) == (before, folder)
        assert_nothing_left(workspace, running)
        assert "Traceback" not in grade.message
        return grade

    return graded


@pytest.fixture
def two_seconds(monkeypatch, tmp_path):
    """The runner's limit, for a runner that has started; what hangs would take half a minute."""
    Runner.warm_up()
    with nullcontext(Runner.spare) if Runner.spare else Runner.ready() as runner:
        runner.alembic(["--version"], tmp_path, {}, 60)
    monkeypatch.setattr(graded, "SECONDS", 2)
    monkeypatch.setattr(outage, "OVERLOADED", math.inf)  # these tests run on busy machines
    monkeypatch.setattr(outage, "SLOW", math.inf)
    monkeypatch.setattr(patience, "MOST", 1.0)


@pytest.fixture
def impatient_server(monkeypatch):
    monkeypatch.setitem(scratch.TIMEOUTS, "statement_timeout", 2)
    monkeypatch.setitem(scratch.WAITS, "lock_timeout", "1s")
    monkeypatch.setattr(patience, "MOST", 1.0)


# What a migration may do


ODDITIES = {
    "prints megabytes": """
        for end in ("\\n", ""):
            for _ in range(100_000): print("x" * 50, end=end)
        for stream in (1, 2): os.write(stream, b"x" * 5_000_000)
        sys.stdout.writelines(["a", "b"])
    """,
    "changes its process": """
        os.chdir("/")
        os.environ.update(DATABASE_URL="postgresql://127.0.0.1:1/", PATH="")
        threading.Thread(target=time.sleep, args=[600]).start()
    """,
    "leaves a session with a lock": """
        op.execute("COMMIT")
        sa.kept = sa.create_engine(os.environ["DATABASE_URL"]).connect()
        sa.kept.execute(sa.text("LOCK TABLE users"))
    """,
}


@pytest.mark.parametrize("name", ODDITIES)
def test_a_right_answer_passes_with_its_oddities(grade, name):
    """People print to see what goes on, and try out what Python can do; the database is right all the same."""
    found = grade(migration(ODDITIES[name]))
    assert found.outcome is PASSED, found


@pytest.mark.parametrize(
    ("upgrade", "sentence"),
    [
        ("raise RuntimeError('no more tea')", "RuntimeError: no more tea"),
        ("raise BaseException", "BaseException"),
        ("sys.exit()", "alembic ended with exit status 0 before it was done."),
        ("sys.exit('bye')", "alembic ended with exit status bye before it was done."),
        ("input('Sure? ')", "EOFError: EOF when reading a line"),
        ("def deeper(): deeper()\ndeeper()", "RecursionError: maximum recursion depth exceeded"),
        ("op.execute('SELECT pg_terminate_backend(pg_backend_pid())')", "AdminShutdown: terminating connection"),
        ("op.execute('ALTER TABLE nowhere ADD x int')", 'UndefinedTable: relation "nowhere" does not exist'),
    ],
)
def test_what_fails_is_told_in_its_own_words_with_its_line(grade, upgrade, sentence):
    found = grade(migration(upgrade))
    assert found.outcome is COULD_NOT_RUN and found.at_fault
    first, said, where, *_ = found.message.splitlines()
    assert first == "`alembic upgrade head` failed."
    assert said.strip().startswith(sentence)
    assert where.strip().startswith(f"in {FILE}, line ")


@pytest.mark.parametrize(
    ("upgrade", "sentence"),
    [
        ("op.get_bind().close()", "ResourceClosedError: This Connection is closed"),
        ("op.get_bind().connection.dbapi_connection.close()", "OperationalError: the connection is closed"),
        ("op.execute('DROP SCHEMA public CASCADE')", 'relation "alembic_version" does not exist'),
        ("op.execute('DELETE FROM alembic_version')", "FAILED: Online migration expected to match one row"),
        ("op.execute('SET ROLE pg_monitor')", "InsufficientPrivilege: permission denied for table alembic_version"),
    ],
)
def test_what_takes_alembics_ground_away_is_told_too(grade, upgrade, sentence):
    """Alembic meets it a step later, so there is no line at fault, and its words are all there is."""
    found = grade(migration(upgrade))
    assert found.outcome is COULD_NOT_RUN and found.at_fault
    assert sentence in found.message


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ("def upgrade(:\n", f"SyntaxError: invalid syntax\n    in {FILE}, line 1: def upgrade(:"),
        (SOLUTION.replace("Add", "Zoë:").encode("latin-1"), "SyntaxError: (unicode error) 'utf-8' codec can't decode"),
        (b"\0", "null bytes"),
        ("", "FAILED: Could not determine revision id from filename 0004_city.py."),
        (SOLUTION.replace("0003_orders", "0003_order"), "KeyError: '0003_order'"),
        (SOLUTION.replace("import sqlalchemy as sa", "import sqlalchemie as sa"), "No module named 'sqlalchemie'"),
    ],
    ids=["syntax", "not UTF-8", "null bytes", "empty", "unknown revision", "unknown module"],
)
def test_a_file_that_is_no_migration(grade, answer, sentence):
    found = grade(answer)
    assert found.outcome is COULD_NOT_RUN and found.at_fault
    assert sentence in found.message


@pytest.mark.parametrize(
    "upgrade",
    [
        "while True: pass",
        "while True: print('.', end='')",
        "op.execute('SET statement_timeout = 0'); op.execute('SELECT pg_sleep(600)')",
        "os.closerange(3, 256); time.sleep(600)",
    ],
)
def test_what_hangs_is_bounded(grade, two_seconds, upgrade):
    """A notebook's cell that never ends is the end of a lesson for most people."""
    found = grade(migration(upgrade))
    assert found.outcome is COULD_NOT_RUN and found.at_fault
    assert "`alembic upgrade head` was not done within 2 seconds and was stopped." in found.message


def test_the_command_that_hangs_is_named(grade, two_seconds):
    """`upgrade()` was right, and people looked for the loop in it."""
    found = grade(migration(downgrade="while True: pass"))
    assert "`alembic downgrade 0003_orders` was not done within 2 seconds" in found.message


def test_what_ends_its_process_is_told_so(grade):
    found = grade(migration("os._exit(7)"))
    assert found.outcome is COULD_NOT_RUN and found.at_fault
    assert "`alembic upgrade head` ended its own process (exit status 7) before it was done." in found.message


@pytest.mark.parametrize(
    ("upgrade", "sentence"),
    [
        ("op.execute('SELECT pg_sleep(600)')", "canceling statement due to statement timeout"),
        (
            "sa.create_engine(os.environ['DATABASE_URL']).connect().execute(sa.text('LOCK TABLE users'))",
            "canceling statement due to lock timeout",
        ),
    ],
)
def test_the_server_bounds_a_statement_and_names_its_line(grade, impatient_server, upgrade, sentence):
    found = grade(migration(upgrade))
    assert found.outcome is COULD_NOT_RUN and found.at_fault
    assert f"{sentence}\n    in {FILE}, line " in found.message


def test_the_servers_limits_come_before_the_runners():
    """Only the server's refusal leads to the line at fault."""
    assert scratch.TIMEOUTS["statement_timeout"] < graded.SECONDS
    assert int(scratch.WAITS["lock_timeout"].removesuffix("s")) < graded.SECONDS


@pytest.mark.parametrize(
    ("upgrade", "sentence"),
    [
        (
            "op.execute('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND (datname = current_database() OR application_name = current_database())')",
            f"{FILE} ends sessions, and the check's own one has ended.",
        ),
        (
            "op.execute('COMMIT')\nsa.kept = psycopg.connect()\nsa.kept.execute('LOCK TABLE users')",
            "A session that your migration opened is still open, and holds AccessExclusiveLock on users.",
        ),
        ("op.execute('DROP TABLE users CASCADE')", "after `alembic upgrade head` the table users is gone."),
        ("op.execute('ALTER TABLE users RENAME TO people')", "after `alembic upgrade head` the table users is gone."),
    ],
    ids=["ends other sessions", "keeps a lock", "drops the table", "renames the table"],
)
def test_a_database_at_which_the_check_itself_fails(grade, impatient_server, upgrade, sentence):
    """It ended in a traceback of the check, or blamed the server."""
    found = grade(migration(upgrade))
    assert found.outcome is NOT_YET and found.at_fault
    assert sentence in found.message


@pytest.mark.parametrize(
    ("upgrade", "downgrade", "sentence"),
    [
        ("pass", "raise ValueError('no')", f"`alembic downgrade` failed.\n  ValueError: no\n    in {FILE}, line "),
        ("import shutil; shutil.rmtree('migrations')", "pass", "changed files of the project: migrations/env.py, "),
        ("op.execute('CREATE TABLE extra ()')", "pass", "does not lead back to the start:\n  - table extra was added"),
        ("pass", "op.execute('DROP TABLE orders')", "does not lead back to the start:\n  - table orders was removed"),
        (
            "if os.path.exists('once'): raise ValueError('enough')",
            "open('once', 'w')",
            "the second upgrade failed.\n  ValueError: enough",
        ),
        (
            "if os.path.exists('once'): op.execute('CREATE TABLE late ()')",
            "open('once', 'w')",
            "the second upgrade leads elsewhere than the first:\n  - table late was added",
        ),
    ],
)
def test_the_way_down_and_up_again_is_graded_too(grade, upgrade, downgrade, sentence):
    """The day on which a release is rolled back is no day to find out."""
    found = grade(migration(upgrade, downgrade))
    assert found.outcome is NOT_YET and found.at_fault
    assert sentence in found.message
    shown = re.sub(r"\bmigrations/[\w./]+", "", found.message)
    assert "/" not in shown, "a path of the check's own copy means nothing to the learner"


def test_the_state_counts_and_not_the_way(grade, workspace):
    """Two revisions instead of one, SQL instead of operations."""
    second = write(workspace, SOLUTION) / "migrations/versions/0005_city_again.py"
    second.write_text(
        'from alembic import op\nrevision, down_revision = "0005", "0004_city"\n'
        'def upgrade(): op.execute("ALTER TABLE users RENAME COLUMN town TO city")\n'
        'def downgrade(): op.execute("ALTER TABLE users RENAME COLUMN city TO town")\n'
    )
    found = grade(SOLUTION.replace('"city"', '"town"'))
    assert found.outcome is PASSED, found


def mutants(exercise):
    """The solution with its upgrade or its downgrade emptied, and with its first operation done twice."""
    (file,) = files_in(exercise.folder / "solution")
    for name in ("no upgrade", "no downgrade", "twice"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
        if name == "twice":
            functions["upgrade"].body.insert(0, functions["upgrade"].body[0])
        else:
            functions[name.removeprefix("no ")].body = [ast.Pass()]
        yield name, file.relative_to(exercise.folder / "solution"), ast.unparse(tree)


@pytest.mark.parametrize("name", ["first_step", "first_revision", "fill_old_rows"])
def test_answers_that_no_author_wrote_are_told_what_is_wrong(name, workspace):
    """Learners make other mistakes than the named ones; they are no passes, nobody else's fault, and no traceback."""
    exercise = find_exercise(name)
    project = workspace.project(exercise.place)
    lesson.lay_start(project, exercise)
    for mutant, file, text in mutants(exercise):
        (project / file).write_text(text, encoding="utf-8")
        Runner.warm_up()
        found = grading.check(exercise, workspace)
        assert found.outcome in (NOT_YET, COULD_NOT_RUN) and found.at_fault, (mutant, found)
        assert found.message and "Traceback" not in found.message, (mutant, found)


# Nothing is touched, nothing is left


def test_the_learners_own_database_is_not_touched(grade, workspace):
    """Between two checks a learner tries things out, and goes on where they were."""
    write(workspace, SOLUTION)
    opened = lesson.open_place(EXERCISE, workspace=workspace)
    with opened.server.connect(opened.database) as session:
        session.execute("ALTER TABLE users ADD COLUMN mine text DEFAULT 'still here'; DELETE FROM orders")

        def state():
            rows = "SELECT count(*), min(mine), (SELECT count(*) FROM orders) FROM users"
            return snapshot(session), session.execute(rows).fetchone()

        before = state()
        assert grade(SOLUTION).outcome is PASSED
        assert grade(migration("op.execute('DROP TABLE users CASCADE')")).outcome is NOT_YET
        assert grade(migration("sys.exit(1)")).outcome is COULD_NOT_RUN
        assert state() == before


def test_files_beside_the_notebook_are_not_pythons(grade, tmp_path, monkeypatch):
    """A notebook stands in its project, and a learner's json.py there ended every check before it began."""
    (tmp_path / "json.py").write_text("raise ImportError('not the one you want')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Runner, "spare", None)
    end_server()
    assert grade(SOLUTION).outcome is PASSED


def test_each_check_has_a_fresh_database(grade):
    """A check that found the last one's column would pass or fail by what was tried before."""
    remember = "op.execute('CREATE TABLE seen ()')"
    assert "table seen was added" in grade(migration(remember)).message
    assert "table seen was added" in grade(migration(remember)).message, "it was there already"


@pytest.mark.parametrize(
    "then", ["time.sleep(600)", pytest.param("subprocess.Popen([sys.executable, '-c', CHILD])", marks=on_posix)]
)
def test_processes_that_a_migration_starts_are_gone(grade, tmp_path, then):
    """A forgotten `sleep &` a check; after a workshop's morning the machine is full of them, orphans too."""
    child = f"import os, pathlib, time; pathlib.Path({str(tmp_path)!r}, str(os.getpid())).touch(); time.sleep(600)"
    parent = f"import subprocess, sys, time; CHILD = {child!r}; subprocess.Popen([sys.executable, '-c', CHILD]); {then}"
    upgrade = f"""
        folder = pathlib.Path({str(tmp_path)!r})
        before = len(list(folder.glob("[0-9]*")))
        subprocess.Popen([sys.executable, "-c", {parent!r}])
        while len(list(folder.glob("[0-9]*"))) <= before: time.sleep(0.01)
    """
    assert grade(migration(upgrade)).outcome is PASSED
    started = [int(path.name) for path in tmp_path.glob("[0-9]*")]
    assert started
    wait_until(lambda: not any(map(is_running, started)))


@on_posix
def test_an_interrupted_check_leaves_nothing(grade, workspace, running, tmp_path):
    """The stop button is what people press when a check takes long."""
    marker = tmp_path / "running"

    def press_stop():
        wait_until(marker.exists)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    threading.Thread(target=press_stop).start()
    with pytest.raises(KeyboardInterrupt):
        grade(migration(f"pathlib.Path({str(marker)!r}).touch(); time.sleep(600)"))
    assert_nothing_left(workspace, running)


def test_a_killed_check_is_cleared_up(grade, workspace, running, tmp_path):
    """A kernel that is restarted in the middle of a check kills it, and the migration was to loop for ever."""
    marker = tmp_path / "running"
    write(workspace, migration(f"pathlib.Path({str(marker)!r}).write_text(str(os.getpid()))\nwhile True: pass"))
    kernel = subprocess.Popen([sys.executable, "-m", "migration_lab", "check", EXERCISE.id])
    wait_until(lambda: marker.exists() and marker.read_text())
    kernel.kill()
    kernel.wait()
    wait_until(lambda: not is_running(int(marker.read_text())))
    wait_until(lambda: len(left_behind(workspace, running)) == 1)  # its database; its session is gone
    assert grade(SOLUTION).outcome is PASSED


def test_two_checks_at_once(workspace, running, tmp_path):
    """Two notebooks on one exercise: neither may take the other's database for a leftover."""
    write(
        workspace,
        migration(f"""
            folder = pathlib.Path({str(tmp_path)!r}) / "both"
            folder.mkdir(exist_ok=True)
            (folder / op.get_bind().engine.url.database).touch()
            while len(list(folder.iterdir())) < 2: time.sleep(0.01)
        """),
    )
    with ThreadPoolExecutor() as pool:
        here = pool.submit(grading.check, EXERCISE, workspace)
        there = subprocess.run([sys.executable, "-m", "migration_lab", "check", EXERCISE.id])
    assert here.result().outcome is PASSED, here.result()
    assert there.returncode == 0
    assert_nothing_left(workspace, running)


def test_a_role_that_may_only_create_databases_can_be_graded(grade, running, monkeypatch):
    """On a server of one's own nobody is a superuser; leftovers of others are not for this role to see or to drop."""
    with running.connect() as session:
        if not session.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()[0]:
            pytest.skip("needs the right to make a role")
        session.execute("CREATE ROLE graded_learner LOGIN CREATEDB PASSWORD 'secret'")
        url = running.url.set(username="graded_learner", password="secret")
        monkeypatch.setenv("LAB_POSTGRES", url.render_as_string(hide_password=False))
        try:
            assert grade(SOLUTION).outcome is PASSED
        finally:
            owned = "SELECT datname FROM pg_database WHERE datdba = 'graded_learner'::regrole"
            for (name,) in session.execute(owned).fetchall():
                startstate.drop_database(session, name)
            session.execute("DROP ROLE graded_learner")


@pytest.fixture
def own_server(monkeypatch):
    """A workspace with a server of its own, to be stopped."""
    monkeypatch.setenv("LAB_POSTGRES", "embedded")
    with new_learner() as workspace:
        monkeypatch.setenv("LAB_WORK", str(workspace.path))
        Embedded(workspace).start()
        yield workspace


def test_a_server_that_goes_away_is_not_the_answers_fault(own_server, tmp_path):
    """The container is stopped: it counted as a try, and the message looked for a mistake in the answer."""
    marker = tmp_path / "running"
    write(own_server, migration(f"pathlib.Path({str(marker)!r}).touch()\nwhile True: op.execute('SELECT 1')"))

    def stop_server():
        wait_until(marker.exists)
        Embedded(own_server).stop()

    stopping = threading.Thread(target=stop_server)
    stopping.start()
    found = grading.check(EXERCISE, own_server)
    stopping.join()
    assert found.outcome is COULD_NOT_RUN and not found.at_fault
    assert found.message.startswith("PostgreSQL at 127.0.0.1:")
    assert found.message.endswith("Your answer is not the cause.")
    Progress(own_server).graded(found)
    assert Progress(own_server).tries(EXERCISE) == 0

    write(own_server, SOLUTION)
    assert grading.check(EXERCISE, own_server).outcome is PASSED
    assert_nothing_left(own_server, server(workspace=own_server))


@pytest.fixture
def small_server(own_server):
    """A server of one's own with 16 sessions, most of which a superuser may take."""
    embedded = Embedded(own_server)
    with server(workspace=own_server).connect() as session:
        session.execute("ALTER SYSTEM SET max_connections = 16")
    embedded.stop()
    embedded.start()
    return own_server


def neighbours(running, left: int) -> list[psycopg.Connection]:
    """Other learners' sessions: all that the server has, but for so many."""
    taken = []
    try:
        while True:
            taken.append(running.connect())
    except UserError:
        for session in taken[len(taken) - left :]:
            session.close()
        wait_until(lambda: _numbackends(taken[0]) <= 16 - left)
    return taken[: len(taken) - left]


def _numbackends(session) -> int:
    return session.execute("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'").fetchone()[0]


def assert_no_try(workspace: Workspace, found: Grade) -> None:
    assert found.outcome is COULD_NOT_RUN and not found.at_fault, found
    assert "Your answer is not the cause." in found.message
    Progress(workspace).graded(found)
    assert Progress(workspace).tries(EXERCISE) == 0


@pytest.mark.parametrize("left", [0, 1], ids=["for the migration", "for x-ray"])
@pytest.mark.parametrize("full_at", ["alembic upgrade head", "alembic downgrade 0003_orders"])
def test_a_full_server_is_not_the_answers_fault(small_server, full_at, left):
    """Thirty people and 100 sessions: half of the right answers were refused as if they were wrong, and counted."""
    running, taken = server(workspace=small_server), []
    write(small_server, SOLUTION)
    steps = []

    def fill(step: str) -> None:
        steps.append(step)
        if step == full_at and not taken:
            taken.extend(neighbours(running, left))

    found = grading.check(EXERCISE, small_server, fill)
    for session in taken:
        session.close()
    assert taken and steps[-1] == full_at
    assert_no_try(small_server, found)
    assert "sorry, too many clients already" in found.message
    assert "ask whoever runs it to raise max_connections" in found.message
    assert_nothing_left(small_server, running)


def test_an_answer_that_takes_all_sessions_is_told_so(small_server):
    """Here the answer is the cause, and the number of sessions that it opened shows it."""
    running = server(workspace=small_server)
    write(small_server, migration("kept = []\nwhile True: kept.append(psycopg.connect())"))
    found = grading.check(EXERCISE, small_server)
    assert found.outcome is NOT_YET and found.at_fault, found
    assert re.match(
        r"`alembic upgrade head` opened 1\d sessions, and the server had 1\d left when it began.", found.message
    )
    assert_nothing_left(small_server, running)


def crash(embedded: Embedded) -> None:
    """One session is killed, as the system does where memory runs out: PostgreSQL then ends all others."""
    with server(workspace=embedded.workspace).connect() as session:
        psutil.Process(session.info.backend_pid).kill()
        with suppress(psycopg.OperationalError):
            session.execute("SELECT 1")
    server(workspace=embedded.workspace)  # waits until it is ready again


def restart(embedded: Embedded) -> None:
    embedded.stop()
    embedded.start()


@on_posix
@pytest.mark.parametrize("event", [restart, crash])
@pytest.mark.parametrize("at", ["alembic upgrade head", "alembic downgrade 0003_orders"])
def test_a_server_that_restarts_in_mid_check_is_not_the_answers_fault(own_server, event, at):
    """ "Your migration ended the check's own session" was said of a migration that did no such thing."""
    write(own_server, SOLUTION)
    happened = []

    def happen(step: str) -> None:
        if step == at and not happened:
            happened.append(event(Embedded(own_server)))

    found = grading.check(EXERCISE, own_server, happen)
    assert happened
    assert_no_try(own_server, found)
    assert "PostgreSQL was restarted while the check ran" in found.message
    assert grading.check(EXERCISE, own_server).outcome is PASSED
    assert_nothing_left(own_server, server(workspace=own_server))


def test_a_session_that_an_administrator_ends_is_not_the_answers_fault(workspace, running):
    write(workspace, SOLUTION)
    query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE starts_with(datname, %s)"

    def end_sessions(step: str) -> None:
        if step == "alembic downgrade 0003_orders":
            with running.connect() as administrator:
                assert administrator.execute(query, [f"check_{workspace.tag}"]).fetchone()[0]

    found = grading.check(EXERCISE, workspace, end_sessions)
    assert_no_try(workspace, found)
    assert "PostgreSQL said: terminating connection due to administrator command." in found.message
    assert_nothing_left(workspace, running)


@on_posix
def test_a_server_that_does_not_answer_in_time_is_not_the_answers_fault(own_server, two_seconds):
    """A machine that swaps, a network that is gone: the limit of a check was the answer's fault."""
    write(own_server, SOLUTION)
    postmaster = psutil.Process(Embedded(own_server).pid())
    halted = []

    def halt(step: str) -> None:
        halted.extend([postmaster, *postmaster.children()])
        for process in halted:
            process.suspend()

    try:
        found = grading.check(EXERCISE, own_server, halt)
    finally:
        for process in halted:
            process.resume()
    assert_no_try(own_server, found)
    assert "no PostgreSQL answers there" in found.message


def test_what_is_late_on_an_overloaded_machine_says_nothing_of_the_answer(grade, two_seconds, monkeypatch):
    """Thirty checks on two processors: right answers were not done within the limit. A loop looks the same there."""
    monkeypatch.setattr(outage, "OVERLOADED", 4.0)
    monkeypatch.setattr(outage, "times_slower", lambda running: 9.0)
    found = grade(migration("time.sleep(600)"))
    assert found.outcome is COULD_NOT_RUN and not found.at_fault
    assert (
        "was not done within 2 seconds and was stopped. Just after it, this machine took 9 times as long"
        in found.message
    )
    assert "so this says nothing about your answer" in found.message


# The four outcomes, and what comes of them


def test_the_starter_is_no_attempt_however_it_is_spaced(workspace):
    starter = (EXERCISE.folder / "starter" / FILE).read_text(encoding="utf-8")
    for text in (starter, starter + "\n\n", starter.rstrip()):
        write(workspace, text)
        assert grading.check(EXERCISE, workspace).outcome is NOT_ATTEMPTED


def test_a_deleted_answer_is_an_attempt(workspace):
    """The file is gone by a slip; "not attempted" would send nobody looking for it."""
    (write(workspace, SOLUTION) / FILE).unlink()
    found = grading.check(EXERCISE, workspace)
    assert found.outcome is NOT_YET and "users has no column city" in found.message


def test_a_grade_reads_as_a_sentence(grade):
    assert str(grade(SOLUTION)).startswith("✔ Passed: users.city is there")
    assert str(grade(SOLUTION.replace('"city"', '"town"'))).startswith("✘ Not yet: users has a new column town")
    assert str(grade("")).startswith("! Could not run: `alembic upgrade head` failed.")
    starter = (EXERCISE.folder / "starter" / FILE).read_text(encoding="utf-8")
    assert str(grade(starter)).startswith("○ Not attempted: the starter is unchanged.")


@pytest.fixture
def progress(workspace) -> Progress:
    return Progress(workspace)


def record(progress: Progress, answer: str, outcome: Outcome = NOT_YET, at_fault: bool = True) -> bool:
    """Record what grading said of an answer; returns whether the solution is open then."""
    write(progress.workspace, answer)
    progress.graded(Grade(EXERCISE, outcome, "…", at_fault))
    return progress.may_see_solution(EXERCISE)


def solution_is_shut(progress: Progress) -> bool:
    try:
        return FILE not in answers.solution(EXERCISE, progress.workspace)
    except UserError as refusal:
        return "opens when you pass, or after 3 honest tries" in str(refusal)


def test_three_different_answers_open_the_solution(progress):
    assert solution_is_shut(progress)
    assert not record(progress, "first")
    assert not record(progress, "second", COULD_NOT_RUN)
    assert solution_is_shut(progress)
    assert record(progress, "third")
    assert answers.solution(EXERCISE, progress.workspace) == {FILE: SOLUTION}


def test_what_is_no_honest_try_opens_nothing(progress):
    """Pressing a button three times is no try, and the lab's own faults are nobody's."""
    for _ in range(4):
        record(progress, "the same")
    assert progress.tries(EXERCISE) == 1
    for number in range(4):
        record(progress, f"other {number}", NOT_ATTEMPTED)
        record(progress, f"other {number}", COULD_NOT_RUN, at_fault=False)
    assert progress.tries(EXERCISE) == 1
    assert solution_is_shut(progress)


def test_a_pass_opens_the_solution_and_stays(progress):
    """Whoever has passed may compare, and may go on playing with the answer."""
    assert record(progress, SOLUTION, PASSED)
    assert record(progress, "spoilt")
    assert progress.passed(EXERCISE)
    assert not solution_is_shut(progress)


def test_hints_go_one_by_one_and_the_last_one_stays(progress):
    shown = [progress.next_hint(EXERCISE) for _ in range(len(EXERCISE.hints) + 2)]
    assert shown[: len(EXERCISE.hints)] == list(enumerate(EXERCISE.hints, 1))
    assert set(shown[len(EXERCISE.hints) :]) == {(len(EXERCISE.hints), EXERCISE.hints[-1])}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"exercises": {"first_step": {"pas',
        b"\xff\xfe{}",
        b"null",
        b'"passed"',
        b'{"exercises": []}',
        b'{"exercises": {"first_step": "passed"}}',
        b'{"exercises": {"first_step": {"tries": 3}}}',
        b'{"exercises": {"first_step": {"hints": "two"}}}',
    ],
)
def test_damaged_progress_is_set_aside_and_begun_anew(progress, content):
    """The file is there to be read, so people edit it, and disks fill up; it must not shut anyone out of the lab."""
    progress.path.write_bytes(content)
    assert "first_step: not tried" in report(progress)
    assert progress.next_hint(EXERCISE) == (1, EXERCISE.hints[0])
    assert not record(progress, "an answer")
    assert progress.tries(EXERCISE) == 1
    (saved,) = progress.workspace.backups.iterdir()
    assert saved.read_bytes() == content


def test_deleted_progress_begins_anew(progress):
    record(progress, SOLUTION, PASSED)
    progress.path.unlink()
    assert not progress.passed(EXERCISE)
    assert record(progress, SOLUTION, PASSED)


# Answer cells


def written(workspace: Workspace, text: str) -> str:
    return answers.write_answer(EXERCISE, FILE, text, workspace)


@pytest.fixture
def target(workspace) -> Path:
    """The file that first_step's answer cell writes."""
    return workspace.project(EXERCISE.place) / FILE


def test_an_answer_cell_writes_again_what_it_wrote(workspace, target):
    """The cell has its own earlier text in its notebook's history; a backup a run would bury those that matter."""
    for text in ("one\n", "two\n", "three, without an end"):
        assert written(workspace, text) == f"Written to projects/{EXERCISE.place}/{FILE}"
    assert target.read_text(encoding="utf-8") == "three, without an end\n"
    assert not workspace.backups.exists()


def test_an_answer_cell_saves_what_was_written_elsewhere(workspace, target):
    """Someone solves it in an editor, runs the notebook from the top, and the starter stands in their file."""
    written(workspace, "by the cell")
    target.write_text("by an editor", encoding="utf-8")
    said = written(workspace, "by the cell")
    (saved,) = workspace.backups.iterdir()
    assert said.endswith(f"; the version that stood there is saved as backups/{saved.name}")
    assert saved.read_text(encoding="utf-8") == "by an editor"
    assert target.read_text(encoding="utf-8") == "by the cell\n"


def test_an_answer_cell_saves_a_later_answer_before_it_goes_back(workspace, target):
    """The browser was killed, the notebook on the disk has the starter again, and its cell wrote that over the pass."""
    starter = (EXERCISE.folder / "starter" / FILE).read_text(encoding="utf-8")
    for text in (starter, "older\n", "the one that passed\n"):
        assert written(workspace, text) == f"Written to projects/{EXERCISE.place}/{FILE}"
    for text in (starter, "the one that passed\n", "older\n", starter):
        before = target.read_text(encoding="utf-8")
        said = written(workspace, text)
        assert target.read_text(encoding="utf-8") == text
        saved = {path.name: path.read_text(encoding="utf-8") for path in workspace.path.glob("backups/*")}
        if before == starter:
            assert "saved" not in said
        else:
            assert saved[said.split("backups/")[1]] == before
    assert sorted(saved.values()) == ["older\n", "the one that passed\n"]


def test_an_answer_cell_reads_an_older_labs_record(workspace, target):
    """It had the digest of the latest answer alone."""
    written(workspace, "one")
    answers_of_today = workspace.read_json("answers.json", {})
    workspace.write_json("answers.json", {file: digests[-1] for file, digests in answers_of_today.items()})
    assert written(workspace, "two") == f"Written to projects/{EXERCISE.place}/{FILE}"
    assert "saved as backups/" in written(workspace, "one")


def test_an_answer_cell_saves_though_its_record_is_lost(workspace, target):
    """Without it nobody knows whose text that is, so it is the learner's."""
    written(workspace, "by the cell")
    (workspace.state / "answers.json").unlink()
    written(workspace, "by the cell again")
    (saved,) = workspace.backups.iterdir()
    assert saved.read_text(encoding="utf-8") == "by the cell\n"


def test_an_answer_may_be_a_file_of_its_own(workspace, target):
    answers.write_answer(EXERCISE, "migrations/versions/0005_mine.py", "x = 1", workspace)
    assert target.with_name("0005_mine.py").read_text(encoding="utf-8") == "x = 1\n"


@pytest.mark.parametrize(
    "file",
    ["../mine.py", "migrations/../../mine.py", "/tmp/a.py", "..\\mine.py", "C:\\mine.py", "C:mine.py", "\\mine.py"],
)
def test_an_answer_stays_in_its_project(workspace, file):
    """A slip in a path must not write over a file of the learner's, nor a notebook from elsewhere do so by intent."""
    before = sorted(workspace.path.rglob("*"))
    with pytest.raises(UserError, match="is not in the exercise's project. Give a path such as"):
        answers.write_answer(EXERCISE, file, "x", workspace)
    assert sorted(workspace.path.rglob("*")) == before


@pytest.mark.parametrize("file", ["migrations/versions", ".", "migrations\\versions"])
def test_a_folder_is_no_answer(workspace, target, file):
    with pytest.raises(UserError, match="is a folder. Give the path of a file"):
        answers.write_answer(EXERCISE, file, "x", workspace)
    assert target.exists()
