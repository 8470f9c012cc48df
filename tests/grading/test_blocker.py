"""Whoever is in a migration's way stays until it is seen what the migration does, and no longer.

Too short a stay would let a migration pass that keeps everybody waiting; each second too much is one that a learner waits.
"""

import threading
import time

import pytest
from tests.waiting import wait_until

from migration_lab.grading.blocker import Blocker

ALTER = "ALTER TABLE things ADD COLUMN more int"
OPEN = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'"


@pytest.fixture
def things(running, database):
    """A session in a database with a table, and a way to connect to it."""
    database.execute("CREATE TABLE things (id int PRIMARY KEY); INSERT INTO things VALUES (1)")

    def connect(**settings):
        return running.connect(database.info.dbname, **settings)

    return database, connect


def is_open(session) -> bool:
    return session.execute(OPEN).fetchone()[0] > 0


def in_background(connect, statement: str, **settings) -> threading.Thread:
    def work():
        with connect(**settings) as session:
            session.execute(statement)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_it_stays_its_time_before_who_waits_for_it(things):
    """Half a second of patience must show: who waits without a limit is what a check looks for."""
    session, connect = things
    with Blocker(connect, "SELECT FROM things", 0.5) as blocker:
        assert not blocker.met.is_set()
        began = time.monotonic()
        session.execute(ALTER)
        assert time.monotonic() - began >= 0.5
        assert blocker.met.is_set()


def test_it_waits_for_the_first_who_comes(things):
    """On a busy machine a migration begins late, and its wait must be as long."""
    session, connect = things
    with Blocker(connect, "SELECT FROM things", 0.3):
        time.sleep(0.6)
        began = time.monotonic()
        session.execute(ALTER)
        assert time.monotonic() - began >= 0.3


def test_it_leaves_as_soon_as_who_waited_gave_up(things):
    session, connect = things
    session.execute("SET lock_timeout = '200ms'")
    with Blocker(connect, "SELECT FROM things", 60):
        with pytest.raises(Exception, match="lock timeout"):
            session.execute(ALTER)
        wait_until(lambda: not is_open(session), 10)
        session.execute(ALTER)


def test_who_waits_for_a_row_is_seen_too(things):
    session, connect = things
    with Blocker(connect, "UPDATE things SET id = id", 0.3) as blocker:
        session.execute("UPDATE things SET id = id")
        assert blocker.met.is_set()


WAITS = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def test_traffic_does_not_count(things):
    """Its writers come across a row that is held; the migration has not yet begun then."""
    session, connect = things
    with Blocker(connect, "UPDATE things SET id = id", 0.1) as blocker:
        writer = in_background(connect, "UPDATE things SET id = id", application_name="traffic writer 1")
        wait_until(lambda: session.execute(WAITS).fetchone())
        time.sleep(0.3)
        assert is_open(session) and not blocker.met.is_set()
    writer.join()


def test_with_the_block_it_is_over(things):
    session, connect = things
    with Blocker(connect, "SELECT FROM things", 60):
        assert is_open(session)
    wait_until(lambda: not is_open(session), 10)


def test_a_migration_that_ends_every_session_ends_this_one_and_nothing_more(things):
    session, connect = things
    with Blocker(connect, "SELECT FROM things", 60):
        session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        session.execute(ALTER)


def test_a_patient_one_stays_though_who_waited_gave_up(things):
    """Or a second try, a moment later, would find nobody in its way."""
    session, connect = things
    session.execute("SET lock_timeout = '100ms'")
    with Blocker(connect, "SELECT FROM things", 1.0, patient=True):
        for _ in range(2):
            with pytest.raises(Exception, match="lock timeout"):
                session.execute(ALTER)
            time.sleep(0.2)
        wait_until(lambda: not is_open(session), 10)
        session.execute(ALTER)


def test_a_patient_one_leaves_where_nobody_comes(things):
    """Who looks for it, and waits until it is gone, would look for ever."""
    session, connect = things
    with Blocker(connect, "SELECT FROM things", 0.2, patient=True) as blocker:
        wait_until(lambda: not is_open(session), 10)
        assert not blocker.met.is_set()
