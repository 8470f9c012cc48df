"""The lab's own failures: told as that, no try, and written where a person can report them from."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from tests.grading.test_grading import EXERCISE, SOLUTION, migration, write

from migration_lab.grading import grader
from migration_lab.learner.grade import Outcome
from migration_lab.learner.progress import Progress

DROPS_USERS = migration("op.execute('DROP TABLE users CASCADE')")
RENAMES_AGE = migration("op.alter_column('users', 'age', new_column_name='years')", "op.execute('SELECT 1')")


@pytest.fixture
def checked(workspace, monkeypatch):
    """Grade an answer to first_step by another check."""

    def grade(check, answer: str = SOLUTION, **more):
        monkeypatch.setattr(grader, "_load", lambda exercise: SimpleNamespace(check=check, **more))
        write(workspace, answer)
        found = grader.check(EXERCISE, workspace)
        assert "Traceback" not in found.message
        return found

    return grade


def fails(error: Exception):
    def check(db):
        raise error

    return check


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (
            fails(TypeError("'NoneType' object is not subscriptable")),
            "TypeError: 'NoneType' object is not subscriptable",
        ),
        (lambda db: db.schema.tables["suers"], "KeyError: 'suers'"),
        (lambda db: db.rows("SELEC 1"), 'SyntaxError: syntax error at or near "SELEC"'),
    ],
    ids=["an error of Python's", "a name that never was", "SQL that no server takes"],
)
def test_a_check_that_goes_wrong_is_the_labs_failure(checked, workspace, check, words):
    """It was said of the answer that its database "stands otherwise than was foreseen", and it counted as a try."""
    found = checked(check)
    log = workspace.state / "failures.log"
    assert found.outcome is Outcome.COULD_NOT_RUN and not found.at_fault, found
    assert found.message.startswith("the lab itself failed while it checked this answer: ") and words in found.message
    assert f"Your answer is not the cause. Please report it, and attach the file {log}." in found.message
    told = log.read_text(encoding="utf-8")
    assert "exercise first_step" in told and "alembic 1." in told and "Traceback (most recent call last)" in told
    assert words in told
    Progress(workspace).graded(found)
    assert Progress(workspace).tries(EXERCISE) == 0


def test_an_explanation_that_goes_wrong_is_the_labs_failure_too(checked):
    def explain(error):
        raise AttributeError("no such thing")

    found = checked(lambda db: None, migration("op.execute('SELECT 1 / 0')"), explain=explain)
    assert found.outcome is Outcome.COULD_NOT_RUN and not found.at_fault
    assert "AttributeError: no such thing" in found.message


@pytest.mark.parametrize(
    ("check", "answer", "sentence"),
    [
        (lambda db: db.schema.tables["users"], DROPS_USERS, "after `alembic upgrade head` the table users is gone."),
        (
            lambda db: db.rows("SELECT * FROM users"),
            DROPS_USERS,
            "after `alembic upgrade head` the table users is gone.",
        ),
        (
            lambda db: db.rows("SELECT age FROM users"),
            RENAMES_AGE,
            "after `alembic upgrade head` the column users.age is gone.",
        ),
        (
            lambda db: db.rows("INSERT INTO users (name, email) VALUES ('A', 'user1@example.com')"),
            migration("op.execute('ALTER TABLE users ADD CONSTRAINT shut CHECK (id < 0) NOT VALID')"),
            "PostgreSQL refuses what the check does as the application would:\n  CheckViolation: ",
        ),
        (
            lambda db: (db.project / "migrations" / "data.txt").read_text(encoding="utf-8"),
            SOLUTION + "# changed",
            "the file migrations/data.txt can't be read",
        ),
    ],
    ids=["a table by its key", "a table by SQL", "a column", "a rule of its own", "a file"],
)
def test_what_the_answer_has_done_is_told_as_what_is_found(checked, check, answer, sentence):
    found = checked(check, answer)
    assert found.outcome is Outcome.NOT_YET and found.at_fault, found
    assert sentence in found.message, found


def test_a_downgrade_that_fails_in_the_check_is_told_as_that(checked):
    """ "The check could not look at the database", with a list of what the upgrade did: people looked there."""
    answer = migration(downgrade="raise ValueError('not today')")
    for check in (lambda db: db.downgrade(db.start_revision), lambda db: db.alembic("downgrade", db.start_revision)):
        found = checked(check, answer)
        assert found.outcome is Outcome.NOT_YET and found.at_fault
        assert (
            "the upgrade ran, but `alembic downgrade 0003_orders` failed.\n  ValueError: not today\n    in "
            in found.message
        )
        assert "was added" not in found.message


def test_a_lock_that_the_check_itself_held_is_told_as_its_own(checked):
    """It is there as an application's would be; "somebody holds rows" sent people looking in their own migration."""

    def check(db):
        db.alembic("downgrade", db.start_revision)
        with db.open_transaction("LOCK TABLE users", 20):
            db.alembic("upgrade", "head")

    found = checked(check, migration("op.execute(\"SET lock_timeout = '100ms'\")\nop.execute('LOCK TABLE users')"))
    assert found.outcome is Outcome.COULD_NOT_RUN and found.at_fault
    assert "The check had a transaction open meanwhile, as an application may: `LOCK TABLE users`." in found.message


def test_an_exercises_own_explanation_is_about_the_upgrade_alone(checked):
    """A later upgrade meets what the answer has left: "is it made twice?" was said of a table that was made once."""
    answer = migration("op.create_table('extra', sa.Column('id', sa.Integer))")

    def check(db):
        db.alembic("downgrade", db.start_revision)
        db.alembic("upgrade", "head")

    found = checked(check, answer, explain=lambda error: "Is it made twice?")
    assert found.outcome is Outcome.COULD_NOT_RUN
    assert 'relation "extra" already exists' in found.message and "twice" not in found.message
    assert "It is still there after `alembic downgrade 0003_orders`: that has not taken it away." in found.message
