"""The rows that were there before: a check that can't read them is blind to what a migration loses."""

from __future__ import annotations

from migration_lab.grading.probes.rows import Rows
from migration_lab.pictures import snapshot


def test_rows_are_those_of_the_moment_in_the_order_of_the_key(database):
    """Read late, they are still what they were: the migration has changed the table since."""
    database.execute('CREATE TABLE "Odd one" (b text, a integer PRIMARY KEY)')
    database.execute("CREATE SCHEMA audit; CREATE TABLE audit.log (entry text, at timestamptz); CREATE TABLE none ()")
    database.execute("""INSERT INTO "Odd one" VALUES ('x', 10), (NULL, 9)""")
    database.execute("INSERT INTO audit.log VALUES ('b', NULL), ('a', NULL)")
    before = Rows(database, snapshot(database))
    database.execute('DROP TABLE "Odd one"')
    assert before["Odd one"] == [{"b": None, "a": 9}, {"b": "x", "a": 10}]
    assert before.content["Odd one"].key == ("a",)
    assert [row["entry"] for row in before["audit.log"]] == ["a", "b"]
    assert before.content["audit.log"].key == ("entry", "at"), "without a primary key, all columns are the key"


def test_rows_hold_no_lock(database, running):
    """A migration would wait for it, and CREATE INDEX CONCURRENTLY for a snapshot that stays open."""
    database.execute("CREATE TABLE t (id integer PRIMARY KEY)")
    before = Rows(database, snapshot(database))
    with running.connect(database.info.dbname) as another:
        another.execute("SET lock_timeout = '1s'; ALTER TABLE t ADD COLUMN c integer")
        another.execute("CREATE INDEX CONCURRENTLY ON t (c)")
    assert before["t"] == []
