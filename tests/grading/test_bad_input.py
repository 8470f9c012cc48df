"""Answers that do to the lab what no migration should: each gets a true message, harms nothing and leaves nothing.

People try things out, and some copy what they don't understand. A role that keeps a search_path, or has no right to log in
any more, shuts its owner out of every lesson.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest
from tests.grading.test_grading import EXERCISE, FILE, SOLUTION, is_running, migration
from tests.waiting import wait_until

from migration_lab.grading import batch
from migration_lab.grading.probes import cluster
from migration_lab.learner.grade import Grade, Outcome
from migration_lab.server import startstate
from migration_lab.server.postgres import Server

PASSED, NOT_YET, NOT_ATTEMPTED, COULD_NOT_RUN = Outcome
AUTOCOMMIT = "\nwith op.get_context().autocommit_block():\n    op.execute({!r})"
WITHOUT_A_TRANSACTION = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I {}', current_database()); END $$"
BIG = 10_000_000


@pytest.fixture(scope="module")
def role(running):
    """A server as a superuser of its own: what is done to the role does not hurt the tests beside this one."""
    name = f"bad_input_{os.getpid()}"
    with running.connect() as session:
        if session.info.parameter_status("is_superuser") != "on":
            pytest.skip("needs the right to make a superuser")
        session.execute(f"CREATE ROLE {name} SUPERUSER LOGIN PASSWORD 'secret'")
        yield Server("url", running.url.set(username=name, password="secret"), running.version)
        for (database,) in session.execute(
            "SELECT datname FROM pg_database WHERE datdba = %s::regrole", [name]
        ).fetchall():
            wait_until(lambda database=database: _dropped(session, database))
        session.execute(f"DROP ROLE {name}")


def _dropped(session: psycopg.Connection, database: str) -> bool:
    with suppress(psycopg.Error):
        startstate.drop_database(session, database)
        return True
    return False


def grade(running: Server, folder: Path, content: str | bytes) -> Grade:
    """Grade a text as the answer to first_step; no session, database or process is left, and no word of Python's own."""
    file = folder / "answer" / FILE
    file.parent.mkdir(parents=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    place = os.getcwd()
    found = batch.grade_answer(EXERCISE, [folder / "answer"], lambda: running)
    assert os.getcwd() == place
    assert "Traceback" not in found.message and len(found.message) < 6000, found.message[:6000]
    own = f"{batch.STEM}{os.getpid()}_"
    left = "SELECT count(*) FROM pg_database WHERE starts_with(datname, %s)"
    with running.connect() as session:
        wait_until(lambda: session.execute(left, [own]).fetchone() == (0,))
    return found


# What belongs to the whole server


WHOLE_SERVER = {
    "the role's search_path": (
        "op.execute('ALTER ROLE CURRENT_USER SET search_path = nowhere')",
        "search_path is now 'nowhere' in every new session",
    ),
    "everybody's setting": (
        "op.execute('ALTER ROLE ALL SET cursor_tuple_fraction = 0.3')",
        "for all roles, cursor_tuple_fraction is now '0.3' in every new session",
    ),
    "another database's setting": (
        "op.execute('ALTER DATABASE postgres SET cursor_tuple_fraction = 0.4')",
        "for the database postgres, cursor_tuple_fraction is now '0.4' in every new session",
    ),
    "the right to log in": ("op.execute('ALTER ROLE CURRENT_USER NOLOGIN')", "was changed (LOGIN)"),
    "the password": ("op.execute(\"ALTER ROLE CURRENT_USER PASSWORD 'other'\")", "has another password"),
    "a role that owns things": (
        "op.execute('CREATE ROLE zorro LOGIN'); op.execute('ALTER TABLE users OWNER TO zorro')",
        "the role zorro was made",
    ),
    "a membership": ("op.execute('GRANT pg_monitor TO CURRENT_USER')", "became a member of pg_monitor"),
    "a database": (AUTOCOMMIT.format("CREATE DATABASE zorros"), "the database zorros was made"),
    "the server's own setting": (
        AUTOCOMMIT.format("ALTER SYSTEM SET cursor_tuple_fraction = 0.2"),
        "the server's own setting cursor_tuple_fraction was changed",
    ),
    "a replication slot": (
        "op.execute(\"SELECT pg_create_physical_replication_slot('zorro', true)\")",
        "the replication slot zorro was made",
    ),
    "ends the check's sessions too": (
        "op.execute('ALTER ROLE CURRENT_USER SET search_path = nowhere')\nop.execute('SELECT pg_terminate_backend(pid) FROM "
        "pg_stat_activity WHERE pid <> pg_backend_pid() AND (datname = current_database() OR application_name = "
        "current_database())')",
        "search_path is now 'nowhere' in every new session",
    ),
}


@pytest.mark.parametrize("name", WHOLE_SERVER)
def test_what_belongs_to_the_whole_server_is_put_back_and_told(role, tmp_path, name):
    upgrade, sentence = WHOLE_SERVER[name]
    with role.connect() as session:  # its own, for the password
        before = _own(cluster.look(session), role)
        found = grade(role, tmp_path, migration(upgrade))
        assert found.outcome is NOT_YET and found.at_fault, found
        assert "`alembic upgrade head` changed what belongs to the whole server" in found.message
        assert sentence in found.message and f"({FILE}). It is " in found.message, found
        assert _own(cluster.look(session), role) == before
    role.connect().close()


def _own(seen: cluster.Cluster, role: Server) -> tuple:
    """What tests beside this one do not change."""
    name = role.url.username
    settings = {
        key: value for key, value in seen.settings.items() if key[0] in ("", name) and key[1] in ("", "postgres")
    }
    named = [one for one in [*seen.roles, *seen.databases, *seen.slots] if "zorro" in one]
    return settings, seen.roles[name], seen.passwords[name], seen.servers_own.get("cursor_tuple_fraction"), named


def test_what_an_answer_does_not_speak_of_is_somebody_elses(role, tmp_path):
    """On a shared server, a colleague makes a role and sets a parameter while somebody's answer is graded."""
    with role.connect() as session:
        before = cluster.look(session)
        session.execute("CREATE ROLE colleague")
        session.execute("ALTER ROLE colleague SET cursor_tuple_fraction = 0.1")
        try:
            assert cluster.put_back(session, before, lambda pattern: None) == []
            assert "colleague" in cluster.look(session).roles
        finally:
            session.execute("DROP ROLE colleague")


# The database that is graded


def test_a_database_that_may_not_be_dropped_is_dropped_all_the_same(running, tmp_path):
    """A template can't be dropped: it stayed for ever, and every later check stumbled over it."""
    found = grade(running, tmp_path, migration(f"op.execute({WITHOUT_A_TRANSACTION.format('IS_TEMPLATE true')!r})"))
    assert found.outcome is PASSED, found


def test_a_search_path_of_the_database_is_told_where_it_hurts(running, tmp_path):
    upgrade = f"op.execute({WITHOUT_A_TRANSACTION.format('SET search_path = other')!r})"
    found = grade(running, tmp_path, migration(upgrade))
    assert found.outcome is NOT_YET, found
    assert "Every new session of this database has search_path=other now" in found.message


@pytest.mark.parametrize(
    ("upgrade", "outcome", "sentence"),
    [
        ("op.execute('DROP SCHEMA public CASCADE')", COULD_NOT_RUN, "`DROP SCHEMA public CASCADE`"),
        ("sa.kept = [psycopg.connect() for _ in range(30)]", PASSED, ""),
        ("raise KeyboardInterrupt", COULD_NOT_RUN, f"KeyboardInterrupt\n    in {FILE}, line "),
        ("raise SystemExit(3)", COULD_NOT_RUN, "alembic ended with exit status 3 before it was done."),
        (f"raise ValueError('x' * {BIG})", COULD_NOT_RUN, "ValueError: xxx"),
        (
            "import alembic.script as a; a.ScriptDirectory.iterate_revisions = None",
            NOT_YET,
            "`alembic downgrade` failed",
        ),
        (
            f"open({FILE!r}, 'a').write('# more')",
            NOT_YET,
            f"while `alembic upgrade head` ran, your migration changed files of the project: {FILE}.",
        ),
    ],
    ids=["drops public", "30 sessions", "interrupt", "exit", "10 MB of error", "patches Alembic", "edits itself"],
)
def test_what_else_a_migration_may_do(running, tmp_path, upgrade, outcome, sentence):
    found = grade(running, tmp_path, migration(upgrade))
    assert found.outcome is outcome and found.at_fault, found
    assert sentence in found.message, found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_a_migration_has_forked_is_gone(running, tmp_path):
    note = tmp_path / "child"
    upgrade = f"""
        if os.fork() == 0:
            pathlib.Path({str(note)!r}).write_text(str(os.getpid()))
            time.sleep(600)
        while not os.path.exists({str(note)!r}): time.sleep(0.01)
    """
    found = grade(running, tmp_path, migration(upgrade))
    assert found.outcome is PASSED, found
    child = int(note.read_text())
    wait_until(lambda: not is_running(child))


# Files


@pytest.mark.parametrize(
    ("content", "outcome", "sentence"),
    [
        (f"{SOLUTION}\nDATA = '''{'x' * BIG}'''\n", PASSED, ""),
        (
            f"{SOLUTION}\nDATA = ''{'x' * BIG}'''\n",
            COULD_NOT_RUN,
            "SyntaxError: unterminated triple-quoted string literal",
        ),
    ],
    ids=["right", "wrong"],
)
def test_a_file_of_ten_megabytes(running, tmp_path, content, outcome, sentence):
    """A table's rows, pasted. The grader looked for words of PostgreSQL's in the line at fault, for hours."""
    found = grade(running, tmp_path, content)
    assert found.outcome is outcome and found.at_fault, found
    assert sentence in found.message
