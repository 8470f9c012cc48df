"""What the server said, and what a migration leaves without being in force.

A retry that is skipped "because it exists already" succeeds, and the index that it leaves is used by no query.
"""

from __future__ import annotations

import threading

import pytest
from tests.waiting import wait_until
from tests.xray.stage import on_stage

from migration_xray.reports import as_html, as_text
from migration_xray.trace import Lock, Notice

USERS = (
    "CREATE TABLE users (id int PRIMARY KEY, name text)",
    "INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 100) n",
    "CREATE TABLE orders (id int, user_id int)",
)
TWINS = "INSERT INTO users VALUES (101, 'user 1')"
CONCURRENTLY = "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS ux ON users (name)"
REPAIR = "REINDEX INDEX CONCURRENTLY public.ux;"


@pytest.fixture(scope="module")
def module_stage(running, tmp_path_factory):
    with on_stage(running, tmp_path_factory.mktemp("leftovers")) as stage:
        yield stage


@pytest.fixture
def stage(module_stage):
    module_stage.reset(*USERS)
    return module_stage


def outside(stage, *statements, fails=False):
    """A migration of these statements, outside of a transaction."""
    lines = "".join(f"\n    op.execute({statement!r})" for statement in statements)
    return stage.upgrade(f"with op.get_context().autocommit_block():{lines}", fails=fails)


def only(things):
    (thing,) = things
    return thing


# What the server said


def test_notices_and_warnings_stand_in_the_report(stage):
    """The server's own words on what it did not do, and on what it did beyond what was asked."""
    stage.session.execute("CREATE VIEW names AS SELECT name FROM users; CREATE VIEW ids AS SELECT id FROM users")
    trace = stage.execute(
        "DROP TABLE IF EXISTS no_such_table",
        "ALTER TABLE orders ADD COLUMN IF NOT EXISTS user_id int",
        "DO $$ BEGIN RAISE WARNING 'only 3 of 5 rows'; END $$",
        "DROP TABLE users CASCADE",
    )
    heard = [only(statement.notices) for statement in trace.statements]
    assert heard[:3] == [
        Notice("NOTICE", 'table "no_such_table" does not exist, skipping'),
        Notice("NOTICE", 'column "user_id" of relation "orders" already exists, skipping'),
        Notice("WARNING", "only 3 of 5 rows"),
    ]
    assert heard[3].message == "drop cascades to 2 other objects"
    lines = [line.strip() for line in as_text(trace).splitlines()]
    for notice in heard:
        assert f"◇ {notice.severity}: {notice.message}" in lines
    assert "└ drop cascades to view names" in lines, "what else is gone matters more than how many"
    assert "only 3 of 5 rows" in as_html(trace)


def test_many_messages_that_are_alike_are_folded(stage):
    """A loop over a thousand partitions says a thousand times the same, and buries the one warning."""
    trace = stage.execute(
        """DO $$ BEGIN
            FOR n IN 1..50 LOOP RAISE NOTICE 'partition "p%" is done', n; END LOOP;
            RAISE WARNING 'one is broken';
            RAISE NOTICE 'again'; RAISE NOTICE 'again';
        END $$"""
    )
    lines = [line.strip() for line in as_text(trace).splitlines() if "◇" in line]
    assert lines == [
        '◇ NOTICE: partition "p1" is done',
        "◇ and 49 more like it",
        "◇ WARNING: one is broken",
        "◇ NOTICE: again (2 times)",
    ]
    assert len(only(trace.statements).notices) == 52, "the data has every one"


# Builds that failed


def test_a_build_that_failed_is_not_told_as_built(stage):
    """The server says that it builds an index when it begins to, and takes it back without a word."""
    stage.session.execute(TWINS)
    statement = only(stage.execute("CREATE UNIQUE INDEX ux ON users (name)", fails=True).statements)
    assert (statement.built, statement.unbuilt, statement.left_invalid) == ([], ["public.ux"], [])


def test_a_build_that_left_an_invalid_index_says_so_and_how_to_repair_it(stage):
    """With CONCURRENTLY the failed index stays: every write pays for it, and the next try skips it."""
    stage.session.execute(TWINS)
    failed = outside(stage, CONCURRENTLY, fails=True)
    statement = only(failed.statements)
    assert (statement.built, statement.left_invalid) == ([], ["public.ux"])
    left = only(failed.leftovers)
    assert (left.kind, left.name, left.relation, left.met) == ("index", "public.ux", "public.users", False)
    page = as_text(failed)
    assert "▦ did not finish building ux, and left it INVALID" in page and "▦ built" not in page
    assert page.splitlines()[-1].endswith(REPAIR)
    assert REPAIR in as_html(failed)

    again = outside(stage, CONCURRENTLY)
    assert 'relation "ux" already exists, skipping' in as_text(again)
    assert only(again.leftovers).met
    assert "○ index ux on users is INVALID, and was before this command" in as_text(again)

    stage.session.execute("DELETE FROM users WHERE id = 101")
    stage.session.execute(left.repair)
    assert outside(stage, CONCURRENTLY).leftovers == [], "what the report says repairs it, repairs it"


def test_what_a_failed_reindex_leaves_is_to_be_dropped(stage):
    """The old index is still in force. Its broken copy is good for nothing, and REINDEX would double it again."""
    stage.session.execute("CREATE FUNCTION checked(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT $1'")
    stage.session.execute("CREATE INDEX ix ON users (checked(name))")
    stage.session.execute(
        "CREATE OR REPLACE FUNCTION checked(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN 1 / 0; END'"
    )
    trace = outside(stage, "REINDEX INDEX CONCURRENTLY ix", fails=True)
    assert only(trace.statements).left_invalid == ["public.ix_ccnew"]
    left = only(trace.leftovers)
    assert left.repair == "DROP INDEX CONCURRENTLY public.ix_ccnew;"
    stage.session.execute(left.repair)


def test_an_index_that_somebody_else_builds_just_now_is_no_leftover(stage):
    """It is INVALID until it is done. To drop it would be the wrong advice."""
    with (
        stage.server.connect(stage.database) as writer,
        stage.server.connect(stage.database) as builder,
    ):
        writer.execute("BEGIN; INSERT INTO users VALUES (1000)")
        building = threading.Thread(target=builder.execute, args=["CREATE INDEX CONCURRENTLY ix ON users (name)"])
        building.start()
        wait_until(lambda: stage.count("SELECT count(*) FROM pg_index WHERE NOT indisvalid"))
        trace = stage.execute("SELECT count(*) FROM users")
        writer.rollback()
        building.join()
    assert trace.leftovers == []


# Constraints


def test_a_constraint_that_is_not_valid_is_told_until_it_is_validated(stage):
    """The second half of the pattern is forgotten easily: the schema looks whole, and old rows were never checked."""
    add = "ALTER TABLE users ADD CONSTRAINT named CHECK (name <> '') NOT VALID"
    stage.session.execute("ALTER TABLE orders ADD CONSTRAINT other CHECK (id > 0) NOT VALID")
    left = only(stage.execute(add).leftovers)
    assert (left.kind, left.name, left.relation, left.met) == ("constraint", "named", "public.users", False)
    stage.migration("op.execute('ALTER TABLE users ADD COLUMN city text')", "0002", "0001")
    met = stage.watch()
    assert only(met.leftovers).met
    assert "○ constraint named on users is NOT VALID, and was before this command" in as_text(met)
    stage.migration(f"op.execute({left.repair!r})", "0003", "0002")
    assert stage.watch().leftovers == [], "orders was not touched"


def test_a_domains_constraint_is_repaired_as_one(stage):
    stage.session.execute("CREATE DOMAIN amount AS int")
    trace = stage.execute("ALTER DOMAIN amount ADD CONSTRAINT positive CHECK (VALUE > 0) NOT VALID")
    assert only(trace.leftovers).repair == "ALTER DOMAIN public.amount VALIDATE CONSTRAINT positive;"
    stage.session.execute(only(trace.leftovers).repair)


def test_what_is_not_enforced_on_purpose_is_no_leftover(stage):
    """PostgreSQL 18 refuses to validate it, because nobody wants it checked."""
    if stage.session.info.server_version < 180000:
        pytest.skip("PostgreSQL 18 has NOT ENFORCED first")
    assert stage.execute("ALTER TABLE users ADD CONSTRAINT c CHECK (id > 0) NOT ENFORCED").leftovers == []


# A statement that ends its own transaction


def test_a_script_with_a_commit_keeps_its_locks_or_says_that_some_are_missing(stage):
    """A file of SQL that commits half-way let its locks go before x-ray looked, and the report had none and no word."""
    trace = stage.upgrade("op.execute('ALTER TABLE users ADD a int; SELECT pg_sleep(0.3); COMMIT; SELECT 1')")
    statement = only(trace.statements)
    assert statement.unseen
    assert Lock("public.users", "AccessExclusiveLock") in statement.locks
    assert "▣ ended its transaction itself: other locks of it may not have been seen" in as_text(trace)


def test_a_script_that_was_over_at_once_says_that_its_locks_were_not_seen(stage):
    trace = stage.upgrade("op.execute('ALTER TABLE users ADD a int; COMMIT')")
    page = as_text(trace)
    assert only(trace.statements).unseen
    assert "may not have been seen" in page or "was over before its locks could be seen" in page


def test_a_commit_alone_leaves_nothing_unseen(stage):
    """It runs nothing else. A doubt at each COMMIT would be noise."""
    trace = stage.upgrade("op.execute('ALTER TABLE users ADD a int')\nop.execute('COMMIT')")
    assert [statement.unseen for statement in trace.statements] == [False, False]
    assert trace.strongest("users")
