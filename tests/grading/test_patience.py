"""Limits that know the machine: what an overloaded one does to a right answer is nobody's fault."""

from __future__ import annotations

import threading
import time

import pytest
from tests.grading.test_grading import EXERCISE, SOLUTION, migration, write

from migration_lab.grading import graded, grader, patience
from migration_lab.grading.patience import Meter
from migration_lab.grading.scratch import scratch
from migration_lab.learner.grade import Outcome


@pytest.fixture
def three_times_slower(monkeypatch):
    measured = []
    monkeypatch.setattr(patience, "_measured", {})
    monkeypatch.setattr(patience, "times_slower", lambda running: measured.append(running) or 3.0)
    return measured


def test_the_limits_grow_with_the_machines_slowness_which_is_measured_once(running, three_times_slower):
    for _ in range(2):
        with scratch(running, EXERCISE, "check_slow_") as database, running.connect(database) as session:
            assert session.execute("SHOW statement_timeout").fetchone() == ("75s",)
            assert session.execute("SHOW lock_timeout").fetchone() == ("10s",), "nobody else holds a lock there"
    assert patience.slowness(running) * graded.SECONDS == 90
    assert len(three_times_slower) == 1


def test_a_quick_machine_has_no_less_than_the_usual_limit(running, monkeypatch):
    monkeypatch.setattr(patience, "_measured", {str(running.url): 0.2})
    assert patience.slowness(running) == 1
    monkeypatch.setattr(patience, "_measured", {str(running.url): 50.0})
    assert patience.slowness(running) == patience.MOST


def test_the_machine_is_really_measured(running):
    assert 0.05 < patience.times_slower(running) < 500


@pytest.fixture
def metered(running, database, monkeypatch):
    """What a Meter says of a statement that runs for a second while a processor gives it so much of its time."""
    monkeypatch.setattr(patience, "QUIET", 0.0)
    monkeypatch.setattr(patience, "LOOKS", 0.05)

    def measure(statement: str, share: float) -> str | None:
        began = time.monotonic()
        monkeypatch.setattr(patience, "_cpu", lambda pid: (time.monotonic() - began) * share)
        meter, name = Meter(running, database.info.dbname), database.info.dbname
        with running.connect(name, application_name="alembic") as session:
            meter.begin()
            worker = threading.Thread(target=session.execute, args=[statement])
            worker.start()
            time.sleep(1)
            session.cancel_safe()
            worker.join()
            meter.end()
        return meter.starved()

    return measure


# In FROM, the numbers would be written to the disk first, and to wait for that is no work.
WORK = "SELECT count(*) FROM (SELECT generate_series(1, 1000000000)) AS numbers"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_time_that_the_servers_work_got_is_known(metered):
    """A statement of ten seconds' work gets its end after 25 where ten others run."""
    assert metered(WORK, 0.1).startswith("In 1 s of it the server got 0.1 s of a processor")
    assert metered(WORK, 0.9) is None, "it had its time"
    assert metered("SELECT pg_sleep(10)", 0.0) is None, "it did not want any"


def test_a_statement_that_got_no_processor_is_no_try(workspace, monkeypatch):
    write(workspace, migration("op.execute(\"SET statement_timeout = '100ms'\"); op.execute('SELECT pg_sleep(9)')"))
    monkeypatch.setattr(Meter, "starved", lambda self: "In 24 s of it the server got 2.0 s of a processor")
    found = grader.check(EXERCISE, workspace)
    assert found.outcome is Outcome.COULD_NOT_RUN and not found.at_fault, found
    assert "canceling statement due to statement timeout. In 24 s of it the server got 2.0 s" in found.message
    assert "so this says nothing about your answer" in found.message
    write(workspace, SOLUTION)
    assert grader.check(EXERCISE, workspace).outcome is Outcome.PASSED
