"""Who blocked whom: each wait of a migration names the lock and the sessions that it waited for.

A migration that waits is the most frequent trouble of all, and "waited for locks of others" does not say whom to call.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
from tests.waiting import wait_until
from tests.xray.stage import check, on_stage

from migration_lab.server import startstate
from migration_lab.server.postgres import environment
from migration_xray import command
from migration_xray.errors import UserError
from migration_xray.reports import as_html, as_text
from migration_xray.watch import watching

USERS = (
    "CREATE TABLE users (id int PRIMARY KEY, name text)",
    "INSERT INTO users SELECT n, n FROM generate_series(1, 100) n",
    "CREATE TABLE orders (id int)",
)
ADD = "op.execute('ALTER TABLE users ADD COLUMN city text')"
# The server has other databases, in which other tests wait.
WAITING = """
    SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE datname = current_database() AND NOT granted AND clock_timestamp() - waitstart > {} * interval '1 ms'"""
SEEN = 300  # ms that a wait goes on, by the server's clock, before it is ended: x-ray looks many times in these
TIMEOUT = "SET lock_timeout = '700ms'"
DEADLOCK = [
    "alembic waits for AccessExclusiveLock on orders; blocked by bob.",
    "bob waits for AccessShareLock on users; blocked by alembic.",
]


@pytest.fixture(scope="module")
def module_stage(running, tmp_path_factory):
    with on_stage(running, tmp_path_factory.mktemp("blockers")) as stage:
        yield stage


@pytest.fixture
def stage(module_stage):
    module_stage.reset(*USERS)
    return module_stage


class Session:
    """A session of somebody called bob, with an open transaction in which these statements have run."""

    def __init__(self, connection, *statements):
        self.connection, self.pid, self.user = connection, connection.info.backend_pid, connection.info.user
        for statement in ("BEGIN", *statements):
            self.execute(statement)

    def execute(self, statement):
        self.connection.execute(statement)

    def rollback(self):
        self.connection.rollback()


@contextmanager
def session(stage, *statements):
    with stage.server.connect(stage.database, application_name="bob") as connection:
        yield Session(connection, *statements)


@contextmanager
def once_waited(stage, *then, ms=SEEN):
    """Call these in another thread, one after the other, as soon as somebody has waited for so long."""

    def run():
        wait_until(lambda: stage.count(WAITING.format(ms)))
        for call in then:
            call()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def only(things):
    (thing,) = things
    return thing


def test_a_wait_for_a_table_names_who_holds_it(stage):
    """A shell that somebody forgot: all that is needed to find it and to end it stands in the report."""
    with session(stage, "SELECT count(*) FROM users") as bob, once_waited(stage, bob.rollback):
        trace = stage.upgrade(ADD)
    statement = only(trace.statements)
    awaited = only(statement.awaited)
    assert (awaited.kind, awaited.relation, awaited.mode) == ("relation", "public.users", "AccessExclusiveLock")
    assert SEEN / 2 < awaited.ms == statement.lock_wait_ms
    blocker = only(awaited.blockers)
    assert (blocker.pid, blocker.application_name) == (bob.pid, "bob")
    assert (blocker.user, blocker.state) == (bob.user, "idle in transaction")
    assert (blocker.statement, blocker.holds, blocker.own) == ("SELECT count(*) FROM users", "AccessShareLock", False)
    assert blocker.transaction_ms > 0
    for page in (as_text(trace), as_html(trace)):
        assert re.search(
            rf"for AccessExclusiveLock on users, [\d,]+ ms, behind bob \(pid {blocker.pid}, user {blocker.user}\), "
            r"idle in transaction, its transaction open for [\d,]+ ms, holds AccessShareLock: SELECT count\(\*\) FROM users",
            page,
        )


def test_a_wait_for_a_row_names_the_table(stage):
    """A backfill waits for the end of a transaction. PostgreSQL shows a number, which nobody can look up later."""
    with session(stage, "UPDATE users SET name = 'x' WHERE id = 7") as bob, once_waited(stage, bob.rollback):
        trace = stage.upgrade("op.execute('UPDATE users SET name = id')")
    awaited = only(only(trace.statements).awaited)
    assert (awaited.kind, awaited.relation) == ("transactionid", "public.users")
    assert only(awaited.blockers).pid == bob.pid
    assert re.search(r"└ for a row of users, [\d,]+ ms, behind bob", as_text(trace))


def test_a_concurrent_build_names_whom_it_waits_for(stage):
    """It waits for every writer, one after the other, without a lock on a table that they would show up at."""
    with session(stage, "INSERT INTO users VALUES (1000)") as bob, once_waited(stage, bob.rollback):
        trace = stage.upgrade(
            "with op.get_context().autocommit_block():\n    op.execute('CREATE INDEX CONCURRENTLY ix ON users (name)')"
        )
    longest = max(only(trace.statements).awaited, key=lambda awaited: awaited.ms)
    assert longest.what == "the end of a transaction"
    assert only(longest.blockers).statement == "INSERT INTO users VALUES (1000)"


def test_who_only_stands_before_in_the_queue_is_not_said_to_hold_a_lock(stage):
    """The reader at the head of the queue is to be ended, and not the ALTER that waits for it as we do."""
    with (
        session(stage, "LOCK TABLE users IN ROW EXCLUSIVE MODE") as bob,
        session(stage) as carol,
    ):
        waits = threading.Thread(target=carol.execute, args=["LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE"])
        waits.start()
        wait_until(lambda: stage.count(WAITING.format(0)))

        def release():
            wait_until(lambda: stage.count(WAITING.format(SEEN)) == 2)
            bob.rollback()
            waits.join()
            carol.rollback()

        releasing = threading.Thread(target=release)
        releasing.start()
        trace = stage.upgrade(ADD)
        releasing.join()
    longest = max(only(trace.statements).awaited, key=lambda awaited: awaited.ms)
    holds = {blocker.pid: blocker.holds for blocker in longest.blockers}
    assert holds[bob.pid] == "RowExclusiveLock"
    assert holds[carol.pid] is None


def test_after_a_lock_timeout_it_is_known_who_was_in_the_way(stage):
    """The migration gave up as it should, and whoever tries it again has to know what will stop it again."""
    with session(stage, "LOCK TABLE users") as bob:
        trace = stage.execute(TIMEOUT, "ALTER TABLE users ADD COLUMN city text", fails=True)
    awaited = only(trace.statements[-1].awaited)
    assert (awaited.relation, only(awaited.blockers).pid) == ("public.users", bob.pid)
    assert "behind bob (pid " in as_text(trace)


def test_what_gave_up_too_soon_to_be_seen_says_so(stage):
    """NOWAIT does not wait at all. Without a word, the report would look as if nobody had been in the way."""
    with session(stage, "LOCK TABLE users"):
        trace = stage.execute("LOCK TABLE users NOWAIT", fails=True)
    assert trace.statements[-1].awaited == []
    assert "… it gave up before x-ray could see behind whom it waited" in as_text(trace)


def test_a_deadlock_is_told_with_names(stage, capsys):
    """PostgreSQL names both tables and both sessions by numbers, which mean nothing an hour later."""
    stage.migration("op.execute('LOCK TABLE users')\nop.execute('ALTER TABLE orders ADD COLUMN n int')")
    with session(stage, "LOCK TABLE orders") as bob:
        waits = threading.Thread(target=bob.execute, args=["SELECT 1 FROM users"])
        with (
            startstate.variables(environment(stage.url)),
            once_waited(stage, waits.start, ms=0),
            pytest.raises(UserError) as refusal,
            watching("upgrade head") as trace,
        ):
            command.run(["upgrade", "head"], stage.folder, sys.stdout)
        waits.join()
    check(trace)
    assert trace.sqlstate == "40P01", trace.error
    failed = trace.statements[-1]
    assert failed.error.detail.splitlines() == DEADLOCK
    assert only(only(failed.awaited).blockers).pid == bob.pid
    for said in (str(refusal.value), as_text(trace)):
        assert all(line in said for line in DEADLOCK)
        assert not re.search(r"relation \d|database \d", said)


def test_a_second_session_of_the_migration_is_called_its_own(stage):
    """A migration that opens a session of its own waits for itself, for ever, and nobody else is to blame."""
    trace = stage.upgrade("""
        op.execute("ALTER TABLE users ADD COLUMN city text")
        second = sa.create_engine(op.get_bind().engine.url, poolclass=sa.NullPool)
        try:
            with second.begin() as connection:
                connection.execute(sa.text("SET lock_timeout = '700ms'"))
                connection.execute(sa.text("SELECT count(*) FROM users"))
        except sa.exc.OperationalError:
            pass
        """)
    waiting = only([one for one in trace.statements if one.error])
    awaited = only(waiting.awaited)
    assert awaited.on_itself and only(awaited.blockers).holds == "AccessExclusiveLock"
    assert only(awaited.blockers).statement == "ALTER TABLE users ADD COLUMN city text", "and none of x-ray's own"
    page = as_text(trace)
    assert "… waited for locks of another session of its own migration: " in page
    assert "behind another session of this migration: alembic (pid " in page
    waited = only(waited for transaction in trace.transactions for waited in transaction.waited)
    assert (waited.sessions, waited.own) == (1, 1)
    assert "; 1 session of the migration itself waited, up to" in page


def test_a_wait_for_alembics_own_table_is_told(stage):
    """Two deploys at once: the second one hangs at alembic_version, in a statement that reports leave out otherwise."""
    stage.migration("pass")
    stage.run()
    stage.migration("pass", "0002", "0001")
    with session(stage, "UPDATE alembic_version SET version_num = '0001'") as bob, once_waited(stage, bob.rollback):
        trace = stage.watch()
    page = as_text(trace)
    assert "UPDATE alembic_version SET version_num='0002'" in page
    assert re.search(r"└ for a row of alembic_version, [\d,]+ ms, behind bob \(pid ", page)


def test_what_the_role_may_not_see_is_said_to_be_hidden(stage):
    """An ordinary role sees who blocks it and not what that session does. A blank would look like a session at rest."""
    role = f"{stage.database}_plain"
    stage.reset(
        *USERS,
        f"DROP ROLE IF EXISTS {role}",
        f"CREATE ROLE {role} LOGIN PASSWORD 'x'",
        f"GRANT CREATE ON SCHEMA public TO {role}",
        f"ALTER TABLE users OWNER TO {role}",
    )
    stage.migration(ADD)
    plain = stage.url.set(username=role, password="x")
    try:
        with (
            session(stage, "SELECT 1 FROM users") as bob,
            once_waited(stage, bob.rollback),
            startstate.variables(environment(plain)),
            watching("upgrade head") as trace,
        ):
            command.run(["upgrade", "head"], stage.folder, sys.stdout)
    finally:
        stage.session.execute(f"REASSIGN OWNED BY {role} TO current_user; DROP OWNED BY {role}; DROP ROLE {role}")
    check(trace)
    blocker = only(only(only(trace.statements).awaited).blockers)
    assert (blocker.pid, blocker.state, blocker.statement) == (bob.pid, None, None)
    assert f"(pid {blocker.pid}, user {bob.user}), its state is not shown to this role" in as_text(trace)


def test_a_prepared_transaction_is_named_as_one(stage):
    """It has no session that could be ended, so that nothing in pg_stat_activity leads to it."""
    if not stage.count("SELECT current_setting('max_prepared_transactions')::int"):
        pytest.skip("this server takes no prepared transactions")
    with session(stage, "LOCK TABLE users", "PREPARE TRANSACTION 'forgotten'"):
        pass
    try:
        trace = stage.execute(TIMEOUT, "ALTER TABLE users ADD COLUMN city text", fails=True)
    finally:
        stage.session.execute("ROLLBACK PREPARED 'forgotten'")
    assert "behind a prepared transaction" in as_text(trace)


# In a terminal


@contextmanager
def program(stage, *arguments):
    """The program in a process of its own."""
    ran = subprocess.Popen(
        [sys.executable, "-m", "migration_xray", *arguments],
        cwd=stage.folder,
        env=os.environ | environment(stage.url),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        yield ran
    finally:
        ran.kill()
        ran.communicate()


on_posix = pytest.mark.skipif(os.name == "nt", reason="interrupts a process as POSIX systems do")


@on_posix
def test_while_it_waits_it_says_for_whom_and_after_ctrl_c_too(stage):
    """The question comes while the terminal stands still, and the answer is worth most before one presses Ctrl-C."""
    stage.migration(ADD)
    with session(stage, "LOCK TABLE users") as bob, program(stage, "upgrade", "head") as ran:
        told = ran.stderr.readline()
        ran.send_signal(signal.SIGINT)
        out, err = ran.communicate(timeout=60)
    whom = rf"behind bob \(pid {bob.pid}, user \w+\), idle in transaction, its transaction open for [\d,]+ ms"
    assert re.match(
        rf"Waiting for AccessExclusiveLock on users, {whom}, holds AccessExclusiveLock: LOCK TABLE users$", told
    )
    assert ran.returncode == 130
    assert "Waiting" not in err, "once for each session that is waited for"
    assert re.search(rf"└ for AccessExclusiveLock on users, [\d,]+ ms, {whom}", out)


@on_posix
def test_locks_are_watched_until_ctrl_c(stage):
    """Who waits for whom, beside a migration that hangs; a list that scrolled by without a change would hide the change."""
    with program(stage, "locks", "--watch") as ran:
        assert re.fullmatch(r"\d\d:\d\d:\d\d\n", ran.stdout.readline())
        assert ran.stdout.readline().startswith("Nobody holds a lock")
        assert ran.stdout.readline() == "\n"
        with session(stage, "LOCK TABLE users") as bob:
            assert re.fullmatch(r"\d\d:\d\d:\d\d\n", ran.stdout.readline())
            told = ran.stdout.readline()
        ran.send_signal(signal.SIGINT)
        _, err = ran.communicate(timeout=60)
    assert told.startswith(f"bob (pid {bob.pid}, user {bob.user}): idle in transaction")
    assert (ran.returncode, err) == (130, "")


@on_posix
def test_a_server_that_ends_the_watching_session_is_told(stage):
    """A restart of the server, or an administrator: one sentence, and no traceback."""
    with program(stage, "locks", "--watch") as ran:
        ran.stdout.readline()
        stage.session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'migration-xray' AND datname = current_database()"
        )
        _, err = ran.communicate(timeout=60)
    assert ran.returncode == 1
    assert err.startswith("PostgreSQL said: ") and len(err.splitlines()) == 1
