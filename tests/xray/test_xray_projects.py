"""X-ray on other people's projects, whatever their env.py does: the lesson "take it home" promises that it works there.

Each env.py here is one that people really have: Alembic's own templates, or the ways round them that its documentation,
its issues and Stack Overflow teach.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import textwrap

import pytest
from alembic import command as alembic_command
from alembic.config import Config
from sqlalchemy import create_engine, text
from tests.xray.stage import on_stage

from migration_lab.server import startstate
from migration_xray.reports import as_text
from migration_xray.trace import Trace
from migration_xray.watch import events as xray

AX, SUX = "AccessExclusiveLock", "ShareUpdateExclusiveLock"
USERS = ("CREATE TABLE users (id int PRIMARY KEY, name text)", "INSERT INTO users SELECT generate_series(1, 50)")
NOT_NULL = "op.execute('ALTER TABLE users ALTER name SET NOT NULL')"
SLOW = "op.execute('ALTER TABLE users ADD phone text')\nop.execute('SELECT pg_sleep(0.2)')"
CONCURRENTLY = "op.execute('CREATE INDEX CONCURRENTLY ix ON users (name)')"
IN_AUTOCOMMIT = f"with op.get_context().autocommit_block():\n    {CONCURRENTLY}"
HEAD = "import os, sqlalchemy as sa\nfrom alembic import context\nurl = os.environ['DATABASE_URL']\n"
RUN = "with context.begin_transaction():\n    context.run_migrations()\n"


@pytest.fixture(scope="module")
def module_stage(running, tmp_path_factory):
    with on_stage(running, tmp_path_factory.mktemp("projects")) as stage:
        yield stage


@pytest.fixture(autouse=True)
def own_path(monkeypatch):
    """Alembic's commands, called as functions, leave the "." of alembic.ini in the path for all tests that come later."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def stage(module_stage):
    module_stage.reset(*USERS, "UPDATE users SET name = 'somebody'")
    return module_stage


def watch(stage, env: str, body: str = NOT_NULL, *arguments: str, fails: bool = False) -> Trace:
    """Run one migration under an env.py of these lines."""
    stage.env(HEAD + textwrap.dedent(env))
    stage.migration(body)
    return stage.watch(*arguments, fails=fails)


def told(trace: Trace) -> list[tuple]:
    """What is told of each transaction that has a statement of the project's."""
    return [
        (one.outcome, one.autocommit, [statement.sql for statement in one.statements if not statement.own])
        for one in trace.transactions
        if not all(statement.own for statement in one.statements)
    ]


ONE = [("committed", False, ["ALTER TABLE users ALTER name SET NOT NULL"])]


# env.py's that run all in one transaction

CONNECT = f"""
with engine.connect() as connection:
    context.configure(connection=connection)
{textwrap.indent(RUN, "    ")}
"""
ENVS = {
    "a queue pool": "engine = sa.create_engine(url)" + CONNECT,
    "a static pool": "engine = sa.create_engine(url, poolclass=sa.pool.StaticPool)" + CONNECT,
    "a pool of one, used twice": "engine = sa.create_engine(url, pool_size=1)\nwith engine.connect() as c: c.execute(sa.text('SELECT 1'))"
    + CONNECT,
    "engine.begin": """
engine = sa.create_engine(url)
with engine.begin() as connection:
    context.configure(connection=connection)
    context.run_migrations()
""",
    "options of the engine": "engine = sa.create_engine(url).execution_options(isolation_level='SERIALIZABLE')"
    + CONNECT,
    "an ORM session's connection": """
from sqlalchemy.orm import Session
with Session(sa.create_engine(url)) as session:
    context.configure(connection=session.connection())
    context.run_migrations()
    session.commit()
""",
    "a thread of its own": "import threading\ndef migrate():\n    engine = sa.create_engine(url)"
    + textwrap.indent(CONNECT, "    ")
    + "\nthread = threading.Thread(target=migrate)\nthread.start()\nthread.join()\n",
    "a translated schema": "engine = sa.create_engine(url).execution_options(schema_translate_map={None: 'public'})"
    + CONNECT,
}


@pytest.mark.parametrize("env", ENVS.values(), ids=ENVS)
def test_one_transaction(stage, env):
    """However the connection is made, the statement, its lock and its scan are told, and as they were committed."""
    trace = watch(stage, env)
    assert [one for one in told(trace) if one[2] != ["SELECT 1"]] == ONE
    assert trace.strongest("users").mode == AX
    assert trace.statements[-1].scanned == ["public.users"]
    assert trace.statements[-1].revision == "0001"
    assert not trace.unseen


@pytest.mark.parametrize("template", ["generic", "pyproject"])
def test_as_alembic_init_writes_it(stage, tmp_path, monkeypatch, template):
    """The project that everybody has."""
    monkeypatch.chdir(tmp_path)
    config = Config(tmp_path / "alembic.ini", toml_file=tmp_path / "pyproject.toml", stdout=io.StringIO())
    alembic_command.init(config, str(tmp_path / "alembic"), template=template)
    ini = (tmp_path / "alembic.ini").read_text()
    url = stage.url.render_as_string(hide_password=False).replace("%", "%%")
    (tmp_path / "alembic.ini").write_text(ini.replace("driver://user:pass@localhost/dbname", url))
    revision = f"revision = '1'\ndown_revision = None\nfrom alembic import op\ndef upgrade():\n    {NOT_NULL}\n"
    (tmp_path / "alembic" / "versions" / "1.py").write_text(revision)
    with xray.watching("upgrade head") as trace:
        alembic_command.upgrade(Config(tmp_path / "alembic.ini", toml_file=tmp_path / "pyproject.toml"), "head")
    assert told(trace) == ONE
    assert trace.statements[0].where == "1.py:5"


# Transactions


def test_a_transaction_for_each_migration(stage):
    """transaction_per_migration is the cure for locks that pile up: the report must show that they don't."""
    stage.env(
        HEAD
        + "engine = sa.create_engine(url)"
        + CONNECT.replace("=connection)", "=connection, transaction_per_migration=True)")
    )
    stage.migration("op.execute('ALTER TABLE users ADD a int')", "0001")
    stage.migration("op.execute('ALTER TABLE users ADD b int')\nop.execute('SELECT pg_sleep(0.3)')", "0002", "0001")
    trace = stage.watch()
    first, second = [one for one in trace.transactions if one.revisions and any(not s.own for s in one.statements)]
    assert (first.revisions, second.revisions) == (["0001"], ["0002"])
    assert [one.held[0].mode for one in (first, second)] == [AX, AX]
    assert second.held[0].ms >= 300
    assert first.ms < second.ms


def test_an_autocommit_block_between_two_transactions(stage):
    """Alembic commits what came before the block: a lock ends there, and a failure in it can't take that back."""
    trace = watch(
        stage, "engine = sa.create_engine(url)" + CONNECT, f"{NOT_NULL}\n{IN_AUTOCOMMIT}\nop.execute('SELECT 1')"
    )
    index = "CREATE INDEX CONCURRENTLY ix ON users (name)"
    assert told(trace) == [*ONE, ("committed", True, [index]), ("committed", False, ["SELECT 1"])]
    assert [one.sql for one in trace.statements if one.built] == [index]


def test_commit_as_a_statement(stage):
    """An old recipe for what can't run in a transaction; what it had locked is let go right there."""
    trace = watch(
        stage,
        "engine = sa.create_engine(url)" + CONNECT,
        f"{NOT_NULL}\nop.execute('COMMIT')\nop.execute('SELECT pg_sleep(0.3)')",
    )
    assert told(trace) == [
        ("committed", False, [ONE[0][2][0], "COMMIT"]),
        ("committed", False, ["SELECT pg_sleep(0.3)"]),
    ]
    assert trace.strongest("users").ms < 300


def test_rollback_as_a_statement(stage):
    trace = watch(stage, "engine = sa.create_engine(url)" + CONNECT, f"{NOT_NULL}\nop.execute('ROLLBACK')", fails=True)
    assert told(trace) == [("rolled back", False, [ONE[0][2][0], "ROLLBACK"])]


def test_an_engine_in_autocommit(stage):
    """Then every statement is a transaction of its own, Alembic's too."""
    trace = watch(
        stage, "engine = sa.create_engine(url, isolation_level='AUTOCOMMIT')" + CONNECT, f"{NOT_NULL}\n{CONCURRENTLY}"
    )
    assert [(autocommit, len(sql)) for _, autocommit, sql in told(trace)] == [(True, 1), (True, 1)]
    assert trace.statements[0].scanned == ["public.users"]


def test_begin_as_a_statement_in_autocommit(stage):
    """A script of SQL brings its own BEGIN and COMMIT: its locks are held between them, whatever the driver thinks."""
    body = "for sql in ('BEGIN', 'ALTER TABLE users ALTER name SET NOT NULL', 'SELECT pg_sleep(0.3)', 'COMMIT'):\n    op.execute(sql)"
    trace = watch(stage, "engine = sa.create_engine(url, isolation_level='AUTOCOMMIT')" + CONNECT, body)
    ((outcome, autocommit, statements),) = told(trace)
    assert (outcome, autocommit, len(statements)) == ("committed", False, 4)
    assert trace.strongest("users").ms >= 300


def test_a_whole_script_in_one_statement(stage):
    """Several commands in one string are one statement to the driver; what they did is told all the same."""
    trace = watch(
        stage,
        "engine = sa.create_engine(url)" + CONNECT,
        f"op.execute({'ALTER TABLE users ADD a int; ALTER TABLE users ALTER name SET NOT NULL'!r})",
    )
    (statement,) = trace.statements
    assert statement.scanned == ["public.users"]
    assert trace.strongest("users").mode == AX


def test_a_commit_that_fails(stage):
    """A deferred constraint speaks up at the commit: nothing is left of the migration, and the report must not say otherwise."""
    stage.session.execute("CREATE TABLE pets (id int, owner int REFERENCES users DEFERRABLE INITIALLY DEFERRED)")
    trace = watch(
        stage, "engine = sa.create_engine(url)" + CONNECT, "op.execute('INSERT INTO pets VALUES (1, 999)')", fails=True
    )
    assert [outcome for outcome, _, _ in told(trace)] == ["rolled back"]
    assert trace.sqlstate == "23503"


def test_a_swallowed_error(stage):
    """COMMIT after an error that was caught is a ROLLBACK: the migration looks done and did nothing."""
    body = f"{NOT_NULL}\ntry:\n    op.execute('SELECT nothing')\nexcept Exception:\n    pass"
    trace = watch(stage, "engine = sa.create_engine(url)" + CONNECT, body, fails=True)
    assert [outcome for outcome, _, _ in told(trace)] == ["rolled back"]
    assert [one.error.sqlstate for one in trace.statements if one.error] == ["42703"]


def test_settings_before_configure_are_never_saved(stage):
    """The env.py trap of the lessons: SET without a commit, then exit status 0 and nothing saved. X-ray shows it."""
    env = f"""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        connection.execute(sa.text("SET lock_timeout = '1s'"))
        context.configure(connection=connection)
        {RUN.replace(chr(10), chr(10) + "        ")}
    """
    trace = watch(stage, env)
    assert [outcome for outcome, _, _ in told(trace)] == ["rolled back"]


# Several sessions


def test_two_databases(stage, running):
    """Two engines in one env.py: each transaction is told, with the database that it is about."""
    other = f"{stage.database}_other"
    startstate.create_database(running, other, "empty")
    try:
        with running.connect(other) as session:
            session.execute(USERS[0])
        env = f"for name in (sa.make_url(url).database, '{other}'):\n"
        env += textwrap.indent(
            "engine = sa.create_engine(sa.make_url(url).set(database=name), poolclass=sa.pool.NullPool)" + CONNECT,
            "    ",
        )
        trace = watch(stage, env)
    finally:
        with running.connect() as session:
            startstate.drop_database(session, other)
    assert told(trace) == [*ONE, *ONE]
    assert [one.database for one in trace.transactions if one.revisions] == [stage.database, other]
    assert f"Transaction in {other}: 0001" in as_text(trace)


def test_the_multidb_template(stage, running, tmp_path, monkeypatch):
    """Alembic's own template for several databases holds every transaction open until the last one is done."""
    other = f"{stage.database}_other"
    startstate.create_database(running, other, "empty")
    monkeypatch.chdir(tmp_path)
    alembic_command.init(
        Config(tmp_path / "alembic.ini", stdout=io.StringIO()), str(tmp_path / "alembic"), template="multidb"
    )
    config = Config(tmp_path / "alembic.ini")
    for section, database in (("engine1", stage.database), ("engine2", other)):
        url = running.database_url(database).render_as_string(hide_password=False)
        config.set_section_option(section, "sqlalchemy.url", url.replace("%", "%%"))
    (tmp_path / "alembic" / "versions" / "1.py").write_text(
        "revision = '1'\ndown_revision = None\nfrom alembic import op\n"
        "def upgrade(engine_name):\n    op.execute('CREATE TABLE of_' + engine_name + ' (id int)')\n"
    )
    try:
        with xray.watching("upgrade head") as trace:
            alembic_command.upgrade(config, "head")
    finally:
        with running.connect() as session:
            startstate.drop_database(session, other)
    assert [(outcome, sql) for outcome, _, sql in told(trace)] == [
        ("committed", ["CREATE TABLE of_engine1 (id int)"]),
        ("committed", ["CREATE TABLE of_engine2 (id int)"]),
    ]


# A connection that is given, as tests and applications do
GIVEN = (
    "from alembic import context\nconnection = context.config.attributes['connection']\ncontext.configure(connection=connection)\n"
    + RUN
)


def upgrade_on(connection, stage) -> Trace:
    config = Config(stage.folder / "alembic.ini")
    config.attributes["connection"] = connection
    with xray.watching("upgrade head") as trace:
        alembic_command.upgrade(config, "head")
    return trace


def test_a_given_connection(stage):
    stage.env(GIVEN)
    stage.migration(NOT_NULL)
    engine = create_engine(stage.url)
    with engine.connect() as connection:
        trace = upgrade_on(connection, stage)
        assert connection.execute(text("SHOW client_min_messages")).scalar() == "notice"
    engine.dispose()
    assert told(trace) == ONE


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_a_given_connection_in_a_transaction(stage, end):
    """pytest fixtures migrate in a transaction and roll it back: x-ray must not commit it, and tells that it is open."""
    stage.env(GIVEN)
    stage.migration(NOT_NULL)
    engine = create_engine(stage.url, pool_size=1, max_overflow=0)
    with engine.connect() as connection:
        transaction = connection.begin()
        connection.execute(text("ALTER TABLE users ADD before int"))
        trace = upgrade_on(connection, stage)
        assert connection.execute(text("SHOW client_min_messages")).scalar() == "notice"
        getattr(transaction, end)()
    with engine.connect() as connection:
        assert connection.execute(text("SHOW client_min_messages")).scalar() == "notice"
    engine.dispose()
    assert stage.count("SELECT count(*) FROM pg_attribute WHERE attname = 'before'") == (end == "commit")
    assert trace.transactions[-1].outcome == "open"
    assert "left open after" in as_text(trace)
    assert trace.statements[-1].scanned == ["public.users"]


def test_what_was_set_up_before_is_put_back(stage):
    """A pooled connection goes on to serve the application: as quiet as it was, its notices heard by nobody else."""
    stage.env(GIVEN)
    stage.migration(f"{IN_AUTOCOMMIT}\n{NOT_NULL}")
    engine = create_engine(stage.url, pool_size=1, max_overflow=0)
    with engine.connect() as connection:
        connection.execute(text("SET client_min_messages = warning"))
        connection.commit()
        driver = connection.connection.driver_connection
        handlers = list(driver._notice_handlers)
        upgrade_on(connection, stage)
        assert connection.execute(text("SHOW client_min_messages")).scalar() == "warning"
        assert driver._notice_handlers == handlers
    engine.dispose()


# Past SQLAlchemy


def test_statements_sent_through_the_driver(stage):
    """COPY and the like go past SQLAlchemy: x-ray can't show the statement, but it shows the lock, and says so."""
    body = "cursor = op.get_bind().connection.cursor()\ncursor.execute('ALTER TABLE users ADD a int')\nop.execute('SELECT 1')"
    trace = watch(stage, "engine = sa.create_engine(url)" + CONNECT, body)
    assert told(trace) == [("committed", False, ["(sent through the driver, past SQLAlchemy)", "SELECT 1"])]
    assert [lock.mode for lock in trace.statements[0].locks] == [AX]
    assert trace.strongest("users").mode == AX


@pytest.mark.parametrize("first", [True, False], ids=["first in its transaction", "last in its transaction"])
def test_a_driver_statement_at_either_end(stage, first):
    """With nothing of SQLAlchemy's before it, or nothing after it, such a lock was laid at another statement's door."""
    raw = "op.get_bind().connection.cursor().execute('ALTER TABLE users ADD a int')"
    body = f"op.execute('SELECT 1')\nop.get_bind().commit()\n{raw}\n" + (
        "op.execute('SELECT 2')" if first else "op.get_bind().commit()"
    )
    env = "engine = sa.create_engine(url)" + CONNECT.replace("with context.begin_transaction():", "if True:")
    trace = watch(stage, env, body)
    strangers = [one for one in trace.statements if one.sql.startswith("(sent")]
    assert [[lock.mode for lock in one.locks] for one in strangers] == [[AX]]
    assert not [one.sql for one in trace.statements if one.sql.startswith("SELECT") and one.locks]


def test_a_commit_through_the_driver(stage):
    body = f"{NOT_NULL}\nop.get_bind().connection.driver_connection.commit()\nop.execute('SELECT pg_sleep(0.3)')"
    trace = watch(stage, "engine = sa.create_engine(url)" + CONNECT, body)
    assert told(trace) == [*ONE, ("committed", False, ["SELECT pg_sleep(0.3)"])]
    assert trace.strongest("users").ms < 300


# Commands


def test_no_database_at_all(stage):
    """An env.py that never connects, and --sql, which must not: there is nothing to see, and that is said."""
    never = watch(stage, "print('nothing to do')")
    offline = watch(
        stage, f"context.configure(url=url, literal_binds=True)\n{RUN}", NOT_NULL, "upgrade", "head", "--sql"
    )
    history = stage.watch("history")
    for trace in (never, offline, history):
        assert (trace.server, trace.ok, trace.transactions) == (None, True, [])
        assert "it opened no database, so there is nothing to see" in as_text(trace)


def test_commands_that_only_look(stage):
    stage.migration(NOT_NULL)
    stage.run("stamp", "head")
    for arguments in (["current"], ["check"], ["heads"]):
        trace = stage.watch(*arguments, fails=arguments == ["check"])  # the kit's env.py has no metadata
        assert trace.statements == []
    assert "no statement but Alembic's own" in as_text(stage.watch("current"))


def test_autogenerate_looks_at_every_table(stage):
    """What Alembic asks to compare models with tables is its own business, and locks nothing that is worth a word."""
    env = "metadata = sa.MetaData()\nengine = sa.create_engine(url)" + CONNECT.replace(
        "=connection)", "=connection, target_metadata=metadata)"
    )
    trace = watch(stage, env, "pass", "revision", "--autogenerate", fails=True)  # the database is not at its head
    stage.run("stamp", "head")
    assert trace.statements == []
    trace = stage.watch("check", fails=True)
    assert "users" in trace.error, "alembic check would drop it"
    assert trace.statements == []


def test_downgrade_stamp_and_arguments(stage):
    env = f"""
    engine = sa.create_engine(url)
    table = context.get_x_argument(as_dictionary=True).get("table", "users")
    {CONNECT.replace(chr(10), chr(10) + "    ")}
    """
    stage.env(HEAD + textwrap.dedent(env))
    stage.migration(
        "op.execute(f\"ALTER TABLE {context.get_x_argument(as_dictionary=True)['table']} ADD a int\")",
        downgrade="op.execute('ALTER TABLE users DROP a')",
    )
    up = stage.watch("-x", "table=users", "upgrade", "head")
    assert (up.command, up.statements[0].sql) == ("-x table=users upgrade head", "ALTER TABLE users ADD a int")
    down = stage.watch("downgrade", "base")
    assert [(one.sql, one.revision) for one in down.statements] == [("ALTER TABLE users DROP a", "0001")]
    stamp = stage.watch("stamp", "head")
    assert stamp.statements == []
    assert [one.outcome for one in stamp.transactions][-1] == "committed"


# What goes wrong before a statement does


def test_sqlite_is_refused_by_a_sentence(stage, tmp_path):
    """X-ray would show an empty report, as if the migration took no lock. And no file may be left behind."""
    file = tmp_path / "shop.db"
    trace = watch(stage, f"engine = sa.create_engine('sqlite:///{file}')" + CONNECT, fails=True)
    assert trace.error.splitlines()[0] == (
        "X-ray watches PostgreSQL only, and env.py opens a sqlite database. Run it with `alembic` itself."
    )
    assert not file.exists()


BROKEN = {
    "a revision that does not exist": (["upgrade", "nowhere"], "Can't locate revision identified by 'nowhere'"),
    "several heads": (["upgrade", "head"], "Multiple head revisions are present"),
}


@pytest.mark.parametrize(("arguments", "sentence"), BROKEN.values(), ids=BROKEN)
def test_alembics_own_refusals(stage, arguments, sentence):
    stage.migration("pass", "0001")
    stage.migration("pass", "0002")
    trace = stage.watch(*arguments, fails=True)
    assert sentence in trace.error
    assert sentence in as_text(trace).splitlines()[0]


def test_a_broken_env(stage):
    trace = watch(stage, "1 / 0", fails=True)
    assert trace.error.startswith("ZeroDivisionError: division by zero\n  in migrations/env.py, line 4")
    assert "it opened no database, so there is nothing to see (ZeroDivisionError: division by zero)" in as_text(trace)


def test_no_alembic_ini(stage):
    (stage.folder / "alembic.ini").unlink()
    trace = stage.watch(fails=True)
    assert "No 'script_location' key found in configuration" in trace.error


def test_a_server_that_is_not_there(stage):
    trace = watch(
        stage, "engine = sa.create_engine('postgresql+psycopg://nobody@127.0.0.1:1/shop')" + CONNECT, fails=True
    )
    assert "connection failed" in trace.error
    assert trace.server is None


# Other versions and drivers

WATCH = """
import contextlib, io, json, sys
from pathlib import Path
import sqlalchemy
from migration_xray import command
from migration_xray.watch import events as xray
with contextlib.suppress(command.AlembicError), xray.watching("upgrade head") as trace:
    command.run(["upgrade", "head"], Path(sys.argv[1]), io.StringIO())
print(sqlalchemy.__version__, json.dumps(trace.to_dict()))
"""
ELSEWHERE = {
    "SQLAlchemy 2.0 and psycopg": (["sqlalchemy==2.0.58"], "postgresql+psycopg"),
    "SQLAlchemy 2.0 and psycopg2": (["sqlalchemy==2.0.58", "psycopg2-binary==2.9.13"], "postgresql+psycopg2"),
    "SQLAlchemy 2.1 and psycopg2": (["psycopg2-binary==2.9.13"], "postgresql+psycopg2"),
    "SQLAlchemy 2.0, asynchronous": (["sqlalchemy==2.0.58", "greenlet>=3"], "postgresql+psycopg async"),
    "SQLAlchemy 2.1, asynchronous": (["greenlet>=3"], "postgresql+psycopg async"),
}
ASYNC = f"""
import asyncio
from sqlalchemy.ext.asyncio import create_async_engine
from migration_xray.reports import as_text

def run(connection):
    context.configure(connection=connection)
{textwrap.indent(RUN, "    ")}

async def main():
    engine = create_async_engine(url, poolclass=sa.pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()

asyncio.run(main())
"""


def overlay(request, packages: list[str]):
    """A folder with these packages, for PYTHONPATH; pip fetches them once, pytest's cache keeps them."""
    folder = request.config.cache.mkdir("elsewhere") / "-".join(sorted(packages)).replace(">", "").replace("=", "")
    if not (folder / "complete").exists():
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--upgrade",
            "--target",
            folder,
            *packages,
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            message = f"pip can't fetch {' '.join(packages)}: {done.stderr.strip()[-300:]}"
            assert not os.environ.get("LAB_REQUIRE_ELSEWHERE"), message
            pytest.skip(message)
        (folder / "complete").touch()
    return folder


@pytest.mark.elsewhere
@pytest.mark.parametrize(("packages", "driver"), ELSEWHERE.values(), ids=ELSEWHERE)
def test_other_versions_and_drivers(stage, request, packages, driver):
    """Drivers tell of messages, errors and transactions each in their own way, and SQLAlchemy hands them on in two."""
    # A build that takes a moment: what is over at once is not always seen.
    stage.session.execute("INSERT INTO users SELECT n, 'somebody' FROM generate_series(51, 200000) AS n")
    driver, _, is_async = driver.partition(" ")
    stage.env(HEAD + (ASYNC if is_async else "engine = sa.create_engine(url, poolclass=sa.pool.NullPool)" + CONNECT))
    stage.migration(f"{NOT_NULL}\n{IN_AUTOCOMMIT}\nop.execute('UPDATE users SET name = NULL')")
    environment = {
        **os.environ,
        "PYTHONPATH": str(overlay(request, packages)),
        "PYTHONWARNINGS": "error::RuntimeWarning",
    }
    environment["DATABASE_URL"] = stage.url.set(drivername=driver).render_as_string(hide_password=False)
    done = subprocess.run(
        [sys.executable, "-c", WATCH, stage.folder], env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    version, data = done.stdout.split(" ", 1)
    trace = Trace.from_dict(json.loads(data))
    assert version.startswith("2.0" if "sqlalchemy==2.0.58" in packages else "2.1")
    assert told(trace) == [
        *ONE,
        ("committed", True, ["CREATE INDEX CONCURRENTLY ix ON users (name)"]),
        ("rolled back", False, ["UPDATE users SET name = NULL"]),
    ]
    scan, index, update = trace.statements
    assert (scan.scanned, index.built) == (["public.users"], ["public.ix"])
    assert [(one.relation, one.read) for one in scan.touched] == [("public.users", 200_000)]
    assert [one.did for one in trace.under("reads")] == ["scanned"]
    assert [one.held[0].mode for one in trace.transactions if one.held and one.held[0].relation == "public.users"][
        :2
    ] == [AX, SUX]
    assert update.error.sqlstate == trace.sqlstate == "23502"
    assert not trace.unseen
    assert done.stderr == "", "a driver or SQLAlchemy warns of something"
