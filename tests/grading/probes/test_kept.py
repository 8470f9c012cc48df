"""Whether rows are lost: a DELETE by the wrong column took 19,000 of 20,000 reviews, and passed."""

from __future__ import annotations

import pytest

from migration_lab.course import RowChanges
from migration_lab.grading.probes.kept import changes
from migration_lab.grading.probes.rows import Rows
from migration_lab.pictures import snapshot

NOTHING = RowChanges()


@pytest.fixture
def lost(database):
    """``lost("DELETE …")``: what became of the rows of two tables after a statement, and is not allowed."""
    database.execute(
        "CREATE TABLE users (id integer PRIMARY KEY, name varchar(20), age varchar(20), paid numeric(10,2),"
        " at timestamp, open boolean, form json, code char(4));"
        "INSERT INTO users SELECT n, 'Ann ' || n, n, n / 2.0, timestamp '2024-03-04 09:00' + n * interval '1.5 s', true,"
        """ '{"b": 1,  "a": 2}', 'ab' FROM generate_series(1, 1000) AS n;"""
        "CREATE TABLE log (entry text); INSERT INTO log VALUES ('a'), ('a'), (NULL)"
    )
    before = Rows(database, snapshot(database))

    def lost(statement: str, allowed: RowChanges = NOTHING) -> list[str]:
        database.execute(statement)
        return changes(before, Rows(database, snapshot(database)), allowed, before.schema)

    return lost


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("DELETE FROM users WHERE id > 50", "950 of the 1,000 rows of users are gone, for instance id 51"),
        ("TRUNCATE users", "1,000 of the 1,000 rows of users are gone, for instance id 1"),
        ("INSERT INTO users (id) VALUES (2000)", "1 row of users is new, for instance id 2000"),
        (
            "UPDATE users SET name = 'A' WHERE id IN (7, 9, 10)",
            "users.name has changed in 3 of the 1,000 rows, for instance id 7: 'Ann 7' became 'A'",
        ),
        ("ALTER TABLE users DROP age; ALTER TABLE users ADD age varchar(20)", "'1' became NULL"),
        (
            "ALTER TABLE users ALTER at TYPE timestamptz USING at AT TIME ZONE 'Asia/Tokyo'",
            "became '2024-03-04 00:00:01.5+00'",
        ),
        (
            "ALTER TABLE users ALTER paid TYPE integer",
            "users.paid has changed in 500 of the 1,000 rows, for instance id 1: 0.50 became 1",
        ),
        ("ALTER TABLE users ALTER name TYPE varchar(5) USING left(name, 5)", "'Ann 10' became 'Ann 1'"),
        ("ALTER TABLE users DROP age", "the column users.age is gone, and its values with it"),
        ("ALTER TABLE users RENAME name TO full_name", "the column users.name is gone, and its values with it"),
        ("DROP TABLE users", "the table users is gone, and 1,000 rows with it"),
        ("DELETE FROM log WHERE ctid = '(0,1)'", "1 of the 3 rows of log is gone, or changed"),
    ],
)
def test_what_was_lost_is_told_with_an_instance(lost, statement, told):
    [found] = lost(statement)
    assert found.endswith(told), found


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE users SET name = name",
        "ALTER TABLE users ADD city text DEFAULT 'Bergen'",
        "ALTER TABLE users ALTER age TYPE integer USING age::integer",
        "ALTER TABLE users ALTER id TYPE bigint",
        "ALTER TABLE users ALTER id TYPE text",
        "ALTER TABLE users ALTER name TYPE text",
        "ALTER TABLE users ALTER paid TYPE numeric(12,4)",
        "SET timezone = 'UTC'; ALTER TABLE users ALTER at TYPE timestamptz",
        "ALTER TABLE users ALTER open TYPE text",
        "ALTER TABLE users ALTER form TYPE jsonb",
        "ALTER TABLE users ALTER code TYPE text",
        "CREATE TYPE names AS ENUM ('a'); ALTER TABLE log ALTER entry TYPE names USING entry::names",
        "ALTER TABLE users DROP CONSTRAINT users_pkey; ALTER TABLE users ADD PRIMARY KEY (name)",
        "ALTER DATABASE {} SET timezone = 'Asia/Tokyo'; SET datestyle = 'German'; SET bytea_output = 'escape'",
    ],
)
def test_a_value_that_reads_the_same_is_the_same(lost, database, statement):
    """A right answer changes a type, or writes rows anew; it loses nothing."""
    assert lost(statement.format(database.info.dbname)) == []


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("UPDATE users SET age = '7'", RowChanges(changes=frozenset({"users.age"}))),
        ("ALTER TABLE users DROP age", RowChanges(changes=frozenset({"users.age"}))),
        ("DELETE FROM users", RowChanges(removes=frozenset({"users"}))),
        ("DROP TABLE users", RowChanges(removes=frozenset({"users"}))),
        ("INSERT INTO users (id) VALUES (2000)", RowChanges(adds=frozenset({"users"}))),
    ],
)
def test_what_an_exercise_declares_is_no_loss_and_the_rest_is(lost, statement, allowed):
    assert lost(statement, allowed) == []
    assert lost("DELETE FROM log", allowed) == ["3 of the 3 rows of log are gone, or changed"]
