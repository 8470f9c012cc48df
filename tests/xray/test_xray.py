"""X-ray when a migration fails or dies, and that it disturbs nothing: what is watched does what it would do unwatched."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import pytest
from sqlalchemy import Engine, event
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from tests.waiting import wait_until
from tests.xray.stage import Stage, on_stage

from migration_lab.pictures import snapshot
from migration_lab.server.embedded import Embedded
from migration_lab.server.postgres import environment, server
from migration_lab.workspace import Workspace
from migration_xray.errors import UserError
from migration_xray.reports import as_text
from migration_xray.trace import Trace
from migration_xray.watch import events as xray

AX = "AccessExclusiveLock"
USERS = (
    "CREATE TABLE users (id int PRIMARY KEY, name text)",
    "INSERT INTO users SELECT n, n FROM generate_series(1, 100) n",
)
# An ALTER that goes on for a minute or until it is stopped.
LONG = "ALTER TABLE users ALTER name TYPE text USING name || pg_sleep(1)"
on_posix = pytest.mark.skipif(os.name == "nt", reason="sends a signal as POSIX systems do")


@pytest.fixture(scope="module")
def module_stage(running, tmp_path_factory):
    with on_stage(running, tmp_path_factory.mktemp("xray")) as stage:
        yield stage


@pytest.fixture
def stage(module_stage):
    module_stage.reset(*USERS)
    return module_stage


def sessions(stage) -> list[str]:
    """Who has a session in the database, but for the test's own."""
    query = (
        "SELECT application_name FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    return [name for (name,) in stage.session.execute(f"{query} AND backend_type = 'client backend'").fetchall()]


def locked(stage) -> int:
    return stage.count(
        "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = relation WHERE relname = 'users' AND pid <> pg_backend_pid()"
    )


# Failures


def test_what_a_failed_migration_did_before(stage):
    """The learner's first question after a failure is what is left of it: nothing, and yet it had locked the table."""
    trace = stage.execute("ALTER TABLE users ADD luck float DEFAULT random()", "SELECT nothing", fails=True)
    (transaction,) = trace.transactions[-1:]
    rewrite, error = trace.statements
    assert transaction.outcome == "rolled back"
    assert rewrite.rewrote == ["public.users"]
    assert error.error.sqlstate == trace.sqlstate == "42703"
    assert error.error.message == 'column "nothing" does not exist'
    assert trace.strongest("users").mode == AX
    text = as_text(trace)
    assert 'It failed: UndefinedColumn: column "nothing" does not exist' in text.splitlines()[0]
    assert "Transaction: 0001, rolled back after" in text
    assert '✘ failed: column "nothing" does not exist' in text


def test_a_foreign_key_that_fails_in_validation(stage):
    """A refusal lets go of the locks at once, so only a scan that takes some time is seen."""
    stage.session.execute("CREATE TABLE pets AS SELECT 1 AS owner FROM generate_series(1, 500000) UNION ALL SELECT 999")
    trace = stage.execute("ALTER TABLE pets ADD CONSTRAINT fk FOREIGN KEY (owner) REFERENCES users", fails=True)
    assert trace.sqlstate == "23503"
    assert sorted(trace.statements[-1].scanned) == ["public.pets", "public.users"] or trace.statements[-1].unseen


def test_a_foreign_key_that_was_rolled_back(stage):
    """Then the key is in no catalog any more: the tables that were scanned for it are told all the same."""
    stage.session.execute("CREATE TABLE pets AS SELECT 1 AS owner")
    trace = stage.execute(
        "ALTER TABLE pets ADD CONSTRAINT fk FOREIGN KEY (owner) REFERENCES users", "SELECT nothing", fails=True
    )
    assert sorted(trace.statements[0].scanned) == ["public.pets", "public.users"]


def test_locks_of_a_statement_that_fails_at_once(stage):
    """An error lets go of all locks before one can look; a look that came in time by luck would tell another story each run."""
    for _ in range(20):
        stage.reset(*USERS)
        trace = stage.execute("ALTER TABLE users ADD CHECK (id < 50)", fails=True)
        (statement,) = trace.statements
        assert (statement.unseen, statement.locks, trace.strongest("users")) == (True, [], None) or statement.ms > 40
        assert statement.scanned == ["public.users"]


def test_an_error_in_the_migrations_own_python(stage):
    trace = stage.upgrade("op.execute('ALTER TABLE users ADD a int')\n1 / 0", fails=True)
    assert (trace.ok, trace.sqlstate) == (False, None)
    assert trace.error.startswith("ZeroDivisionError: division by zero")
    assert [(one.error, one.locks[0].mode) for one in trace.statements] == [(None, AX)]


def test_a_session_that_the_server_ends(stage):
    """An administrator, a failover, an idle timeout: what happened until then is told, and that the session was lost."""

    def end():
        query = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE starts_with(query, 'ALTER') AND datname = %s
            AND clock_timestamp() - query_start > '800 ms'"""  # it is looked at every 10 ms
        wait_until(lambda: stage.session.execute(query, [stage.database]).fetchone(), 20)

    thread = threading.Thread(target=end)
    thread.start()
    trace = stage.execute("UPDATE users SET name = '1'", LONG, fails=True)
    thread.join()
    assert trace.transactions[-1].outcome == "lost"
    assert trace.statements[-1].error.sqlstate == trace.sqlstate == "57P01"
    assert trace.strongest("users").mode == AX
    assert "ended with its session after" in as_text(trace)
    wait_until(lambda: sessions(stage) == [], 5)  # the server needs a moment to notice


SCRIPT = """
import io, json, signal, sys
from pathlib import Path
from migration_xray import command
from migration_xray.watch import events as xray
from migration_xray.reports import as_text
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit that it is ignored
try:
    with xray.watching("upgrade head") as trace:
        command.run(["upgrade", "head"], Path(sys.argv[1]), io.StringIO())
except KeyboardInterrupt:
    pass
print(json.dumps(trace.to_dict()))
"""


@contextmanager
def in_a_process(stage, body: str):
    """A migration in a process of its own, once it has locked the table."""
    stage.migration(body)
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, stage.folder],
        env={**os.environ, **environment(stage.url)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: locked(stage) or process.poll() is not None, 20)
        time.sleep(0.8)  # to be looked at a few times
        yield process
    finally:
        process.kill()
        process.communicate()


@on_posix
@pytest.mark.parametrize(
    "body", [f"op.execute({LONG!r})", "op.execute('LOCK TABLE users')\ntime.sleep(60)"], ids=["ALTER", "Python"]
)
def test_an_interrupt(stage, body):
    """Ctrl-C on a migration that takes too long is when a report is wanted most, and when a lock must not stay behind."""
    with in_a_process(stage, body) as process:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert process.returncode == 0, err
    trace = Trace.from_dict(json.loads(out))
    assert trace.error == "interrupted"
    assert trace.strongest("users").mode == AX
    (statement,) = trace.statements
    assert (statement.error is not None) == statement.sql.startswith("ALTER")
    wait_until(lambda: locked(stage) == 0, 5)
    wait_until(lambda: sessions(stage) == [], 5)  # the server needs a moment to notice


@on_posix
@pytest.mark.parametrize(
    "body",
    ["op.execute('ALTER TABLE users ADD a int')\ntime.sleep(60)", "op.execute('LOCK TABLE users; SELECT pg_sleep(1)')"],
)
def test_a_killed_process(stage, body):
    """Nobody is left to clean up: the second session must not keep anything alive that the server would let go."""
    with in_a_process(stage, body) as process:
        process.kill()
        process.wait()
    wait_until(lambda: sessions(stage) == [], 10)
    assert locked(stage) == 0


def test_no_second_session(stage):
    """Refused after the first statements, x-ray would leave half a migration; so it asks before anything runs."""
    role = f"{stage.database}_one"
    stage.session.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret' CONNECTION LIMIT 1")
    try:
        stage.migration("op.execute('CREATE TABLE made (id int)')")
        before, stage.url = stage.url, stage.url.set(username=role, password="secret")
        trace = stage.watch(fails=True)
    finally:
        stage.url = before
        stage.session.execute(f"DROP ROLE {role}")
    assert trace.error.splitlines()[0] == (
        f'X-ray watches from a second session, and PostgreSQL refused it: too many connections for role "{role}". '
        "Let the role have one more, or run the command with `alembic` itself."
    )
    assert trace.transactions == []
    assert stage.session.execute("SELECT to_regclass('alembic_version'), to_regclass('made')").fetchone() == (
        None,
        None,
    )
    wait_until(lambda: sessions(stage) == [], 5)  # the server needs a moment to notice


def test_a_migration_that_ends_all_other_sessions(stage):
    """Some do, to get their lock; x-ray's session goes with the rest. The migration must not care, and the report must say so."""
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'x-ray' AND datname = current_database()"
    trace = stage.execute("ALTER TABLE users ADD a int", others, "ALTER TABLE users ADD b int")
    assert trace.ok
    # The server's last words are lost where x-ray was just sending: the reset of the connection overtakes them.
    last = "terminating connection due to administrator command|consuming input failed: server closed the connection unexpectedly"
    assert re.match(rf"X-ray's own session ended early \(({last})\): what came after", trace.unseen), trace.unseen
    assert trace.unseen in as_text(trace)
    assert len(trace.statements) == 3
    assert trace.statements[0].locks
    assert (
        stage.count("SELECT count(*) FROM pg_attribute WHERE attname IN ('a', 'b') AND attrelid = 'users'::regclass")
        == 2
    )


# Without disturbing


def some_ddl(seed: int) -> list[str]:
    """A random history of three tables that PostgreSQL accepts, mostly."""
    dice = random.Random(seed)
    statements = [f"CREATE TABLE t{n} (id int PRIMARY KEY, a int DEFAULT {n}, b text)" for n in range(3)]
    for n in range(12):
        table, other, column = (f"t{dice.randrange(3)}" for _ in range(2)), None, dice.choice("ab")
        table, other = table
        statements.append(
            dice.choice(
                [
                    f"ALTER TABLE {table} ADD c{n} {dice.choice(['int', 'text', 'timestamptz DEFAULT now()', 'float DEFAULT random()'])}",
                    f"ALTER TABLE {table} ALTER {column} SET NOT NULL",
                    f"ALTER TABLE {table} ALTER {column} DROP NOT NULL",
                    f"ALTER TABLE {table} ALTER a TYPE {dice.choice(['bigint', 'int', 'numeric'])} USING a::int",
                    f"ALTER TABLE {table} ADD CONSTRAINT k{n} FOREIGN KEY (a) REFERENCES {other} {dice.choice(['', 'NOT VALID'])}",
                    f"ALTER TABLE {table} ADD CONSTRAINT k{n} CHECK (id > {n}) {dice.choice(['', 'NOT VALID'])}",
                    f"CREATE INDEX i{n} ON {table} ({column})",
                    f"DROP INDEX IF EXISTS i{dice.randrange(12)}",
                    f"ALTER TABLE {table} DROP COLUMN IF EXISTS c{dice.randrange(12)}",
                    f"INSERT INTO {table} SELECT n, n, n::text FROM generate_series({n * 9}, {n * 9 + 8}) n",
                    f"CREATE OR REPLACE VIEW v{n} AS SELECT id FROM {table}",
                    f"TRUNCATE {table} CASCADE",
                    f"CLUSTER {table} USING {table}_pkey",
                    f"COMMENT ON TABLE {table} IS 'number {n}'",
                    f"DO $$ BEGIN ALTER TABLE {table} ADD d{n} int; END $$",
                ]
            )
        )
    return statements


IN_SAVEPOINTS = """
for sql in {statements!r}:
    nested = op.get_bind().begin_nested()
    try:
        op.execute(sa.text(sql))
        nested.commit()
    except sa.exc.DBAPIError as error:
        nested.rollback()
"""


@pytest.mark.parametrize("seed", range(10))
def test_the_same_schema_with_and_without(stage, seed):
    """The first thing that may be asked of an instrument: that it changes nothing."""
    body = IN_SAVEPOINTS.format(statements=some_ddl(seed))
    contents = "SELECT json_agg(to_json(t)::jsonb - 'c') FROM (SELECT id, a, b FROM t0 UNION ALL SELECT id, a, b FROM t1 ORDER BY id, a) t"
    results = []
    for watched in (False, True):
        stage.reset()
        stage.migration(body)
        (stage.watch if watched else stage.run)()
        results.append((snapshot(stage.session).to_dict(), stage.session.execute(contents).fetchone()))
    assert results[0] == results[1]
    assert results[0][0]["tables"], "a history that made nothing would show nothing"


def test_the_same_locks_with_and_without(stage):
    """Before its commit, a third session looks at all that the migration's own holds."""
    body = """
        import os, psycopg
        op.execute("ALTER TABLE users ADD a int CHECK (a > 0)")
        op.execute("CREATE TABLE pets (id int PRIMARY KEY, owner int REFERENCES users)")
        op.execute("UPDATE users SET name = 'x' WHERE id = 1")
        pid = op.get_bind().connection.driver_connection.info.backend_pid
        with psycopg.connect(autocommit=True) as third:
            held = third.execute(
                "SELECT locktype, mode, granted, coalesce(relation::regclass::text, '') FROM pg_locks WHERE pid = %s", [pid]
            ).fetchall()
        names = sorted(one if one[3] == "" or not one[3].isdigit() else (*one[:3], "new") for one in held)
        with open(os.environ["HELD"], "w") as file:
            file.write(repr(names))
        """
    results = []
    for watched in (False, True):
        stage.reset(*USERS)
        stage.migration(body)
        os.environ["HELD"] = str(stage.folder / "held")
        (stage.watch if watched else stage.run)()
        results.append((stage.folder / "held").read_text())
    del os.environ["HELD"]
    assert results[0] == results[1]
    assert "'relation', 'AccessExclusiveLock', True, 'users'" in results[0]


def test_nothing_is_left_behind(stage):
    """A kernel runs for days, and x-rays a hundred times: no listener, wrapped method, thread or session may stay."""
    commit = PGDialect_psycopg.do_commit
    dialects = []

    def note(connection):
        dialects.append(connection.dialect)

    event.listen(Engine, "engine_connect", note)
    begun = []
    original, xray._Watch.begin = xray._Watch.begin, lambda watch: (begun.append(watch), original(watch))
    try:
        stage.execute("ALTER TABLE users ADD a int")
        stage.reset()
        stage.execute("SELECT nothing", fails=True)
    finally:
        event.remove(Engine, "engine_connect", note)
        xray._Watch.begin = original
    assert len(begun) == 2
    for watch in begun:
        assert not [name for target, name, listener in watch.listeners if event.contains(target, name, listener)]
    assert dialects
    assert {dialect.do_commit.__func__ for dialect in dialects} == {commit}
    assert not [thread.name for thread in threading.enumerate() if thread.name == "x-ray"]
    wait_until(lambda: sessions(stage) == [], 5)  # the server needs a moment to notice


def test_other_threads_are_left_alone(stage):
    """An application's own engine in the same process has nothing to do with the migration, be it SQLite's."""
    import sqlalchemy

    stop = threading.Event()
    seen = []

    def application():
        engine = sqlalchemy.create_engine("sqlite://")
        while not stop.is_set():
            with engine.connect() as connection:
                seen.append(connection.execute(sqlalchemy.text("SELECT 'the application'")).scalar())
            time.sleep(0.005)

    thread = threading.Thread(target=application)
    thread.start()
    try:
        wait_until(lambda: seen, 20)
        trace = stage.upgrade("op.execute('SELECT 1')\ntime.sleep(0.1)")
    finally:
        stop.set()
        thread.join()
    assert [one.sql for one in trace.statements] == ["SELECT 1"]


def test_an_ordinary_role(stage):
    """Production's role is no superuser and has no pg_monitor. It sees all that is its own: locks, phases, who waits.

    Nor do settings of the role's, made for an application, keep x-ray from seeing.
    """
    role = f"{stage.database}_app"
    stage.session.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'sécret''s'")
    try:
        stage.session.execute(f"ALTER TABLE users OWNER TO {role}")
        for setting in (
            "client_min_messages = error",
            "idle_session_timeout = '300ms'",
            "default_transaction_isolation = serializable",
        ):
            stage.session.execute(f"ALTER ROLE {role} SET {setting}")
        stage.migration("op.execute('ALTER TABLE users ADD CHECK (id > 0)')\ntime.sleep(0.5)")
        before, stage.url = stage.url, stage.url.set(username=role, password="sécret's")

        def read_once_it_is_locked():
            wait_until(lambda: stage.count("SELECT count(*) FROM pg_locks WHERE relation = 'users'::regclass"))
            stage.session.execute("SELECT 1 FROM users")

        reader = threading.Thread(target=read_once_it_is_locked)
        reader.start()
        trace = stage.watch()
        reader.join()
        stage.migration(
            "with op.get_context().autocommit_block():\n    op.execute('CREATE INDEX CONCURRENTLY ix ON users (name)')",
            "0002",
            "0001",
        )
        with stage.server.connect(stage.database, autocommit=False) as writer:
            writer.execute("INSERT INTO users VALUES (1000)")
            threading.Timer(0.4, writer.commit).start()
            concurrent = stage.watch()
    finally:
        stage.url = before
        stage.session.execute(f"REASSIGN OWNED BY {role} TO current_user; DROP OWNED BY {role}; DROP ROLE {role}")
    assert trace.statements[0].scanned == ["public.users"]
    assert trace.strongest("users").mode == AX
    assert [(one.relation, one.sessions) for one in trace.transactions[-1].waited] == [("public.users", 1)]
    assert concurrent.statements[0].built == ["public.ix"]
    assert "waiting for writers before build" in {phase.name for phase in concurrent.statements[0].phases}


def test_a_server_that_logs_all_to_its_clients(stage):
    """At debug1 a session gets the server's log lines too, of every statement: they are no words about the migration."""
    if not stage.count("SELECT count(*) FROM pg_roles WHERE rolname = current_user AND rolsuper"):
        pytest.skip("needs the right to set log_statement")
    trace = stage.execute(
        "SET log_statement = 'all'",
        "DO $$ BEGIN RAISE NOTICE 'hello'; END $$",
        "ALTER TABLE users ALTER id TYPE bigint",
    )
    stage.session.execute("RESET log_statement")
    assert trace.statements[1].says == ["hello"]
    assert trace.statements[2].says == [
        'rewriting table "users"',
        'building index "users_pkey" on table "users" serially',
    ]


def test_many_messages_in_one_statement(stage):
    """psycopg2 keeps the last fifty, so x-ray does not read them there; a loop over partitions says far more."""
    names = [f"i{n}" for n in range(60)]
    loop = " ".join(f"CREATE INDEX {name} ON users (id);" for name in names)
    trace = stage.execute(f"DO $$ BEGIN {loop} END $$")
    assert [name.removeprefix("public.") for name in trace.statements[0].built] == names


def test_the_last_trace(stage):
    trace = stage.execute("SELECT 1")
    assert xray.last_trace() is trace
    xray._last = None
    with pytest.raises(UserError, match="Nothing was x-rayed yet"):
        xray.last_trace()


# On a server of its own, for what can't be asked of one that is shared


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    embedded = Embedded(Workspace(folder))
    try:
        place = server("embedded", Workspace(folder))
        with place.connect() as session:
            session.execute("ALTER SYSTEM SET max_prepared_transactions = 5")
        embedded.stop()
        stage = Stage(server("embedded", Workspace(folder)), "own", folder / "project")
        yield stage, embedded
    finally:
        embedded.discard()


def test_two_phases(own):
    """A prepared transaction keeps its locks without a session; it is over when the second phase is."""
    stage, _ = own
    stage.reset(*USERS)
    stage.env("""
        import os, time, sqlalchemy as sa
        from alembic import context
        with sa.create_engine(os.environ["DATABASE_URL"]).connect() as connection:
            transaction = connection.begin_twophase()
            context.configure(connection=connection)
            context.run_migrations()
            transaction.prepare()
            time.sleep(0.3)
            transaction.commit()
        """)
    trace = stage.execute("ALTER TABLE users ALTER name SET NOT NULL")
    (transaction,) = [one for one in trace.transactions if one.revisions]
    assert transaction.outcome == "committed"
    assert transaction.statements[-2].scanned == ["public.users"] or trace.statements[0].scanned == ["public.users"]
    assert trace.strongest("users").ms >= 300


def test_a_server_that_goes_down(own):
    """Both sessions are gone at once; the sentence is the server's, and the report has what was seen."""
    stage, embedded = own
    stage.reset(*USERS)
    stopper = threading.Thread(target=lambda: (wait_until(lambda: locked(stage), 20), time.sleep(0.8), embedded.stop()))
    stopper.start()
    trace = stage.execute(LONG, fails=True)
    stopper.join()
    assert trace.transactions[-1].outcome == "lost"
    assert trace.strongest("users").mode == AX
    assert trace.statements[0].error
