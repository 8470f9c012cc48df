"""Second tries: what a lock timeout has ended gets through when it is run again, or is told where it gets stuck.

A migration that can't be run again stops a deployment for ever, in the night, with an error that says nothing of the
timeout that was its cause.
"""

from __future__ import annotations

import shutil
from textwrap import dedent, indent

import pytest

from migration_lab.course import lay_start
from migration_lab.course.manifest import exercises, find_exercise
from migration_lab.grading import secondtry
from migration_lab.grading.graded import Graded, NotYet
from migration_lab.grading.grader import silently
from migration_lab.grading.scratch import scratch
from migration_lab.grading.unseen import prepare
from migration_lab.runner import Runner

EXERCISE = find_exercise("add_phone")
FILE = "migrations/versions/0004_phone.py"
STEM = "test_secondtry_"
MIGRATION = '''"""Add the phone of a user"""

import sqlalchemy as sa
from alembic import op

revision = "0004_phone"
down_revision = "0003_orders"


def upgrade():
{}
'''
ADD_CHECK = 'op.execute("ALTER TABLE users ADD CONSTRAINT ck_age CHECK (age IS NOT NULL) NOT VALID")'
RETRIES = """
    from alembic import context
    from sqlalchemy import create_engine, pool
    from sqlalchemy.exc import DBAPIError
    import os

    engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)
    for attempt in range(10):
        try:
            with engine.connect() as connection:
                context.configure(connection=connection, transaction_per_migration=True)
                with context.begin_transaction():
                    context.run_migrations()
            break
        except DBAPIError as error:
            if error.orig.sqlstate != "55P03":
                raise
    """


@pytest.fixture
def tried(running, tmp_path):
    """Run an upgrade again where locks time out: what is said of it, "" if it gets through."""

    def tried(exercise, project) -> str:
        with (
            scratch(running, exercise, STEM) as database,
            Runner.ready() as runner,
            running.connect(database) as session,
        ):
            graded = Graded(running, database, project, session, runner, silently)
            prepare(graded, exercise)
            graded.begin(exercise)
            graded.upgrade()
            try:
                secondtry.second_try(exercise, graded, secondtry.reached(graded), STEM)
            except NotYet as finding:
                return str(finding)
        return ""

    return tried


@pytest.fixture
def upgrade(tried, tmp_path):
    """The same for an ``upgrade()`` of which this is the body, with an env.py if one is given."""

    def upgrade(body: str, env: str | None = None) -> str:
        project = tmp_path / "project"
        lay_start(project, EXERCISE)
        (project / FILE).write_text(MIGRATION.format(indent(dedent(body), "    ")), encoding="utf-8")
        if env:
            (project / "migrations" / "env.py").write_text(dedent(env), encoding="utf-8")
        return tried(EXERCISE, project)

    return upgrade


def test_one_transaction_is_begun_again(upgrade):
    assert upgrade(f'op.add_column("users", sa.Column("phone", sa.Text()))\n{ADD_CHECK}') == ""


def test_where_it_gets_stuck_is_told_and_why(upgrade):
    """The second try meets what the first one has committed; each line is named, with its statement."""
    said = upgrade(f"""
        with op.get_context().autocommit_block():
            {ADD_CHECK}
        op.alter_column("users", "age", nullable=False)
        """)
    assert "`ALTER TABLE users ALTER COLUMN age SET NOT NULL` (0004_phone.py:14)" in said
    assert (
        "gets stuck at `ALTER TABLE users ADD CONSTRAINT ck_age CHECK (age IS NOT NULL) NOT VALID` (0004_phone.py:13)"
        in said
    )
    assert 'constraint "ck_age" for relation "users" already exists' in said


def test_a_retry_of_env_py_counts_as_the_next_try(upgrade):
    """Its second try fails within the same command, with another error than the timeout."""
    said = upgrade(
        f"""
        with op.get_context().autocommit_block():
            {ADD_CHECK}
        op.alter_column("users", "age", nullable=False)
        """,
        env=RETRIES,
    )
    assert 'constraint "ck_age" for relation "users" already exists' in said


def test_what_can_be_done_twice_gets_through(upgrade):
    body = f"""
        with op.get_context().autocommit_block():
            op.drop_constraint("ck_age", "users", if_exists=True)
            {ADD_CHECK}
            op.execute("ALTER TABLE users VALIDATE CONSTRAINT ck_age")
        op.alter_column("users", "age", nullable=False)
        op.drop_constraint("ck_age", "users")
        """
    assert upgrade(body) == ""
    assert upgrade(body, env=RETRIES) == ""


def test_rows_that_are_written_twice_are_told(upgrade):
    """Prices go up by a tenth at each try."""
    said = upgrade("""
        with op.get_context().autocommit_block():
            op.execute("UPDATE products SET price = price * 1.1")
        op.add_column("products", sa.Column("note", sa.Text()))
        """)
    assert "`ALTER TABLE products ADD COLUMN note TEXT` (0004_phone.py:14)" in said
    assert "products.price has other values" in said


def test_rows_that_come_twice_are_told(upgrade):
    said = upgrade("""
        with op.get_context().autocommit_block():
            op.execute("INSERT INTO products (name, price) VALUES ('a cup', 1)")
        op.add_column("products", sa.Column("note", sa.Text()))
        """)
    assert "products has 1,011 rows, not 1,010" in said


def test_numbers_of_a_sequence_and_moments_may_differ(upgrade):
    """A try that is rolled back uses up numbers; a moment is never the same."""
    assert (
        upgrade("""
        op.execute("CREATE TABLE notes (id serial PRIMARY KEY, at timestamptz DEFAULT now(), word uuid DEFAULT gen_random_uuid())")
        op.execute("CREATE TABLE parts (id int GENERATED ALWAYS AS IDENTITY, note int REFERENCES notes)")
        op.execute("INSERT INTO notes DEFAULT VALUES; INSERT INTO parts (note) SELECT id FROM notes")
        op.execute("INSERT INTO products (name, price) VALUES ('a cup', 1)")
        op.execute("ALTER TABLE users ADD COLUMN seen timestamptz DEFAULT clock_timestamp()")
        """)
        == ""
    )


def test_a_build_that_leaves_an_invalid_index_is_told(upgrade):
    said = upgrade("""
        with op.get_context().autocommit_block():
            op.execute("SET lock_timeout = '300ms'")
            op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_age ON users (age)")
        """)
    assert "index ix_age on users is INVALID, was valid" in said or "ix_age is INVALID" in said


def test_a_timeout_that_stays_switched_off_is_told(upgrade):
    """What is lifted for a build stays lifted for what comes next, and everybody queues behind that."""
    body = """
        with op.get_context().autocommit_block():
            op.execute("SET lock_timeout = 0")
            op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS ix_age ON users (age)")
            {}
        op.add_column("users", sa.Column("phone", sa.Text()))
        """
    said = upgrade(body.format(""))
    assert "in the way of `ALTER TABLE users ADD COLUMN phone TEXT` (0004_phone.py:16), and lock_timeout was 0" in said
    assert upgrade(body.format("op.execute('RESET lock_timeout')")) == ""


def test_a_fill_that_times_out_after_a_commit_is_told(upgrade):
    """Its lock is no strong one, and the next try still meets what was committed before it."""
    said = upgrade("""
        with op.get_context().autocommit_block():
            op.execute("ALTER TABLE users ADD COLUMN phone text")
        op.execute("UPDATE users SET phone = '' WHERE id < 10")
        """)
    assert "in the way of `UPDATE users SET phone = '' WHERE id < 10` (0004_phone.py:14)" in said
    assert 'column "phone" of relation "users" already exists' in said


def test_an_error_that_env_py_keeps_to_itself_is_told(upgrade):
    swallowing = RETRIES.replace('if error.orig.sqlstate != "55P03":', "break").replace("                raise\n", "")
    said = upgrade('op.add_column("users", sa.Column("phone", sa.Text()))', env=swallowing)
    assert "ended with exit status 0, and the database is at 0003_orders, not at 0004_phone" in said


def test_an_error_that_the_migration_keeps_to_itself_is_told(upgrade):
    said = upgrade("""
        op.execute('''DO $$ BEGIN
            ALTER TABLE users ADD COLUMN phone text;
        EXCEPTION WHEN lock_not_available THEN NULL; END $$''')
        """)
    assert "column users.phone was removed" in said


def test_nothing_is_run_again_without_a_strong_lock(upgrade, monkeypatch):
    """A backfill alone need not wait for it."""
    monkeypatch.setattr(secondtry, "scratch", None)
    assert upgrade("op.execute('UPDATE users SET age = age WHERE id < 10')") == ""


@pytest.mark.parametrize(
    "exercise", [one for one in exercises().values() if one.second_try], ids=lambda exercise: exercise.id
)
def test_a_solution_begins_again_from_anywhere(exercise, tried, tmp_path, monkeypatch):
    """Also where it is not asked for, because nothing can be left behind: people copy what they see."""
    monkeypatch.setattr(secondtry, "can_get_stuck", lambda trace: True)
    project = tmp_path / "project"
    lay_start(project, exercise)
    shutil.copytree(exercise.folder / "solution", project, dirs_exist_ok=True)
    assert tried(exercise, project) == ""


def test_it_is_asked_where_timeouts_are_taught():
    """The lessons of the template know no timeout; from the lesson that teaches it on, a migration has to live with it."""
    asked = {exercise.lesson for exercise in exercises().values() if exercise.second_try}
    assert asked == {exercise.lesson for exercise in exercises().values() if exercise.lesson >= "10"}
