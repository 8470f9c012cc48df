"""Somebody's transaction in a migration's way, made by the process that runs the migration: the server itself says 55P03.

It must leave the migration's session as it was: a check would blame an answer for a timeout that is not its own.
"""

from __future__ import annotations

import time
from pathlib import Path
from textwrap import dedent

import pytest

from migration_lab.runner import A_READERS, AN_INDEXS, Hindrance, Runner
from migration_xray.errors import AlembicError

ENV = """
import os, pathlib, time
from contextlib import suppress
from sqlalchemy import create_engine, pool
from sqlalchemy.exc import DBAPIError

engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)
said = []

def show(connection):
    said.append(connection.exec_driver_sql("SHOW lock_timeout").scalar())

def run(connection, sql):
    try:
        connection.exec_driver_sql(sql)
        said.append("done")
    except DBAPIError as error:
        said.append(error.orig.sqlstate)

"""
ADD = '"ALTER TABLE things ADD COLUMN more int"'


@pytest.fixture
def run(running, database, tmp_path):
    """Run code as an env.py with an obstacle in its way: what it has said, and the hindrance afterwards."""
    database.execute("CREATE TABLE things (id int PRIMARY KEY); INSERT INTO things VALUES (1)")
    database.execute(f"ALTER DATABASE {database.info.dbname} SET lock_timeout = '10s'")  # as a scratch database has one
    [(things,)] = database.execute("SELECT 'things'::regclass::oid")
    (tmp_path / "migrations").mkdir()
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/migrations\n")

    def run(code: str, name: str | None = None, **options) -> tuple[str, Hindrance]:
        text = ENV + dedent(code) + '\npathlib.Path("said").write_text(" ".join(said))\n'
        (tmp_path / "migrations" / "env.py").write_text(text, encoding="utf-8")
        url = running.database_url(name or database.info.dbname).render_as_string(hide_password=False)
        hindrance = Hindrance([things], **options)
        with Runner.ready() as runner:
            runner.alembic(["upgrade", "head"], tmp_path, {"DATABASE_URL": url}, 30, hindrance)
        return Path(tmp_path, "said").read_text(encoding="utf-8"), hindrance

    return run


AUTOCOMMIT = 'with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:'


def test_a_statement_times_out_once(run):
    said, hindrance = run(f"""
        {AUTOCOMMIT}
            run(connection, {ADD})
            run(connection, {ADD})
        """)
    assert said == "55P03 done"
    [met] = hindrance.met
    assert (met.where, met.sql, met.timed_out) == (None, "ALTER TABLE things ADD COLUMN more int", True)


def test_one_that_has_met_it_gets_through_in_the_next_command(run):
    _, hindrance = run(f"{AUTOCOMMIT}\n    run(connection, {ADD})")
    said, _ = run(f"{AUTOCOMMIT}\n    run(connection, {ADD})", met=hindrance.met)
    assert said == "done"


def test_the_numbers_in_a_statement_may_differ(run):
    """Constraints for a range that begins where the last one ended: each has met it already."""
    said, _ = run(f"""
        {AUTOCOMMIT}
            run(connection, "ALTER TABLE things ADD CHECK (id < 100)")
            run(connection, "ALTER TABLE things ADD CHECK (id < 200)")
        """)
    assert said == "55P03 done"


@pytest.mark.parametrize("seconds", ["'300ms'", "'10min'"])
def test_the_session_has_its_own_timeout_again(run, seconds):
    """Also one of ten minutes ends the wait at once, or a check would hang."""
    began = time.monotonic()
    said, _ = run(f"""
        {AUTOCOMMIT}
            connection.exec_driver_sql("SET lock_timeout = {seconds}")
            run(connection, {ADD})
            show(connection)
            run(connection, "ALTER TABLE things ADD COLUMN other int")
            show(connection)
        """)
    own = seconds.strip("'")
    assert said == f"55P03 {own} 55P03 {own}"
    assert time.monotonic() - began < 20


def test_a_transaction_has_its_own_timeout_again(run):
    said, _ = run(f"""
        with engine.connect() as connection:
            connection.exec_driver_sql("SET lock_timeout = '300ms'")
            connection.commit()
            connection.exec_driver_sql("CREATE TABLE other (id int)")
            show(connection)
            run(connection, {ADD})
            connection.rollback()
            show(connection)
            with connection.begin_nested() as savepoint:
                run(connection, "ALTER TABLE things ADD COLUMN other int")
                savepoint.rollback()
            show(connection)
        """)
    assert said == "300ms 55P03 300ms 55P03 300ms"


def test_what_a_statement_sets_stays(run):
    said, _ = run(f"""
        {AUTOCOMMIT}
            run(connection, "SET lock_timeout = '2s'")
            show(connection)
            run(connection, "SET lock_timeout = '3s'; SELECT 1")
            show(connection)
        """)
    assert said == "done 2s done 3s"


def test_who_means_to_wait_gets_through(run):
    said, hindrance = run(f"""
        {AUTOCOMMIT}
            connection.exec_driver_sql("SET lock_timeout = 0")
            run(connection, {ADD})
            show(connection)
        """)
    assert said == "done 0"
    assert [met.timed_out for met in hindrance.met] == [False]


def test_a_build_beside_writers_times_out_as_well_unless_its_session_means_to_wait(run, database):
    """It leaves half an index, which the next try has to find."""
    build = f'{AUTOCOMMIT}\n    {{}}run(connection, "CREATE INDEX CONCURRENTLY ON things (id)")'
    setting = """connection.exec_driver_sql("SET lock_timeout = 0"); """
    assert run(build.format(setting))[0] == "done"
    assert run(build.format(""))[0] == "55P03"
    assert database.execute("SELECT count(*) FROM pg_index WHERE NOT indisvalid").fetchone() == (1,)


def test_a_block_with_tries_of_its_own_gets_through(run):
    """Its first try times out; then nobody is in its way any more."""
    said, hindrance = run(f"""
        block = '''DO $$ BEGIN
            SET LOCAL lock_timeout = '100ms';
            FOR try IN 1..5 LOOP
                BEGIN
                    ALTER TABLE things ADD COLUMN more int;
                    EXIT;
                EXCEPTION WHEN lock_not_available THEN PERFORM pg_sleep(0.1);
                END;
            END LOOP;
        END $$'''
        {AUTOCOMMIT}
            run(connection, block)
        """)
    assert said == "done"
    assert len(hindrance.met) == 1


def test_a_block_that_looks_first_gets_through(run):
    """It would look for ever."""
    said, _ = run(f"""
        block = '''DO $$ BEGIN
            WHILE EXISTS (SELECT FROM pg_locks WHERE relation = 'things'::regclass AND pid <> pg_backend_pid()) LOOP
                PERFORM pg_sleep(0.1);
            END LOOP;
            ALTER TABLE things ADD COLUMN more int;
        END $$'''
        {AUTOCOMMIT}
            run(connection, block)
        """)
    assert said == "done"


def test_what_comes_in_the_transaction_that_has_the_lock_is_not_stopped(run):
    said, hindrance = run(f"""
        for _ in range(2):
            with engine.begin() as connection, suppress(DBAPIError):
                run(connection, {ADD})
                run(connection, "ALTER TABLE things ADD COLUMN other int")
        """)
    assert said == "55P03 25P02 done done"
    assert len(hindrance.met) == 1


def test_rows_are_written_beside_a_writer_and_not_beside_a_build(run):
    write = f'{AUTOCOMMIT}\n    run(connection, "UPDATE things SET id = id")'
    assert run(write)[0] == "done"
    assert run(write, mode=AN_INDEXS)[0] == "55P03"


def test_pauses_between_tries_are_cut_short(run):
    """An env.py may pause for thirty seconds between two tries; a learner would wait for each of them."""
    began = time.monotonic()
    run("time.sleep(20)")
    assert time.monotonic() - began < 15


def test_a_migration_that_ends_every_session_goes_on(run):
    said, _ = run(f"""
        others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        others += " WHERE application_name = 'somebody' AND datname = current_database()"
        {AUTOCOMMIT}
            run(connection, others)
            run(connection, {ADD})
        """)
    assert said == "done done"


def test_a_session_that_is_refused_is_told(run):
    with pytest.raises(AlembicError, match="it has no such database"):
        run("", name="nowhere")


def test_a_latecomer_stays_its_time(run):
    """The migration's own timeout counts, and the next try meets the same transaction."""
    began = time.monotonic()
    said, hindrance = run(
        f"""
        {AUTOCOMMIT}
            connection.exec_driver_sql("SET lock_timeout = '200ms'")
            run(connection, {ADD})
            show(connection)
            run(connection, {ADD})
            connection.exec_driver_sql("SET lock_timeout = 0")
            run(connection, {ADD})
        """,
        mode=A_READERS,
        stays=1.0,
    )
    assert said == "55P03 200ms 55P03 done"
    assert time.monotonic() - began >= 1.0
    assert len(hindrance.met) == 1


def test_a_latecomer_comes_once(run):
    said, hindrance = run(
        f"""
        {AUTOCOMMIT}
            run(connection, {ADD})
            run(connection, "ALTER TABLE things ADD COLUMN other int")
        """,
        stays=0.2,
    )
    assert said == "done done"
    assert [met.sql for met in hindrance.met] == ["ALTER TABLE things ADD COLUMN more int"]
