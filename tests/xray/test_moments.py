"""What was read and written under which lock, statement by statement, and that counting it disturbs nothing.

Exercises are graded by it: a lock that comes after the scan harms nobody, and rows that are written under a lock that an
earlier statement has taken keep everybody out.
"""

from __future__ import annotations

import json

import pytest
from sqlalchemy import NullPool, QueuePool, create_engine, text
from tests.xray.stage import check, on_stage

from migration_xray.reports import as_html, as_text
from migration_xray.trace import Touched, Trace
from migration_xray.watch.events import watching

USERS = (
    "CREATE TABLE users (id int PRIMARY KEY, name text)",
    "INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 1000) n",
    "CREATE TABLE orders (id int PRIMARY KEY, user_id int, total int)",
    "INSERT INTO orders SELECT n, n, n FROM generate_series(1, 500) n",
)
NAMED = "ALTER TABLE users ADD CONSTRAINT named CHECK (name IS NOT NULL) NOT VALID"


@pytest.fixture(scope="module")
def module_stage(running, tmp_path_factory):
    with on_stage(running, tmp_path_factory.mktemp("moments")) as stage:
        yield stage


@pytest.fixture
def stage(module_stage):
    module_stage.reset(*USERS)
    return module_stage


def touched(statement) -> dict[str, tuple[int, int, int, int]]:
    """What a statement did to each table: read, inserted, updated, deleted."""
    return {one.relation: (one.read, one.inserted, one.updated, one.deleted) for one in statement.touched}


def did(trace: Trace, blocking: str = "writes") -> list[tuple[str, str, int, str, str]]:
    return [
        (one.did, one.what, one.rows, f"{one.mode} on {one.relation}", one.taken_by.sql)
        for one in trace.under(blocking)
    ]


# How many rows


def test_each_table_has_its_count(stage):
    """The driver counts those of one table at best: where a statement copies, which table is read was not to be seen."""
    copy, insert, delete = stage.execute(
        "CREATE TABLE copies AS SELECT * FROM users",
        "INSERT INTO copies SELECT id + 1000, 'order' FROM orders",
        "DELETE FROM users WHERE id > 990",
    ).statements
    assert touched(copy) == {"public.copies": (0, 1000, 0, 0), "public.users": (1000, 0, 0, 0)}
    assert touched(insert) == {"public.copies": (0, 500, 0, 0), "public.orders": (500, 0, 0, 0)}
    assert touched(delete)["public.users"][1:] == (0, 0, 10)
    assert [one.written for one in (copy, insert, delete)] == [1000, 500, 10]


def test_triggers_functions_and_do_blocks_are_counted(stage):
    """They write what a statement's own count does not say: a backfill in a DO block seemed to cost nothing."""
    for statement in (
        "CREATE TABLE log (id int)",
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO log VALUES (NEW.id); RETURN NEW; END'",
        "CREATE TRIGGER note AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION note()",
        "CREATE FUNCTION raise_totals() RETURNS void LANGUAGE sql AS 'UPDATE orders SET total = total + 1'",
        "CREATE TABLE items (order_id int REFERENCES orders ON DELETE CASCADE)",
        "INSERT INTO items SELECT 1 + n % 10 FROM generate_series(1, 50) n",
    ):
        stage.session.execute(statement)
    update, function, block, delete = stage.execute(
        "UPDATE users SET name = '' WHERE id <= 30",
        "SELECT raise_totals()",
        "DO $$ BEGIN FOR n IN 1..5 LOOP UPDATE orders SET total = n WHERE id <= 10; END LOOP; END $$",
        "DELETE FROM orders WHERE id <= 10",
    ).statements
    assert (touched(update)["public.log"], update.written) == ((0, 30, 0, 0), 60)
    assert (touched(function)["public.orders"][1:], function.written) == ((0, 500, 0), 500)
    assert (block.rows, block.written) == (None, 50)
    assert (touched(delete)["public.items"][1:], delete.written) == ((0, 0, 50), 60)


def test_a_change_of_the_catalog_touches_no_row(stage):
    trace = stage.execute("ALTER TABLE users ADD city text DEFAULT ''", NAMED)
    assert [touched(one) for one in trace.statements] == [{}, {}]
    assert trace.under() == []


def test_what_was_rolled_back_to_a_savepoint_is_its_statements(stage):
    """Nothing can be asked after an error, and then the next count has both: the rows were told of another statement."""
    trace = stage.upgrade("""
        from contextlib import suppress
        op.execute("UPDATE users SET name = 'a' WHERE id <= 7")
        with suppress(sa.exc.DBAPIError), op.get_bind().begin_nested():
            op.execute("DO $$ BEGIN UPDATE users SET name = 'b' WHERE id <= 20; PERFORM 1 / 0; END $$")
        op.execute("UPDATE users SET name = 'c' WHERE id <= 3")
        """)
    assert {one.sql[:25]: one.written for one in trace.statements if one.written} == {
        "UPDATE users SET name = '": 3,
        "DO $$ BEGIN UPDATE users ": 20,
    }
    assert [one.written for one in trace.statements if one.sql.startswith("UPDATE")] == [7, 3]


def test_an_emptied_table_counts_anew(stage):
    """TRUNCATE takes back what was counted of the table before it."""
    trace = stage.execute(
        "UPDATE users SET name = ''", "TRUNCATE users", "INSERT INTO users VALUES (1, 'Ann'), (2, 'Ben')"
    )
    assert [one.written for one in trace.statements] == [1000, 0, 2]


def test_rows_that_were_sent_past_sqlalchemy(stage):
    """COPY through the driver, the quickest way to load rows, also into a table that the transaction has locked already."""
    trace = stage.upgrade("""
        op.execute("ALTER TABLE users ADD city text")
        with op.get_bind().connection.cursor() as cursor, cursor.copy("COPY users (id) FROM STDIN") as copy:
            for n in range(2000, 2040):
                copy.write_row([n])
        op.execute("UPDATE users SET city = '' WHERE id <= 3")
        """)
    assert [(one.sql[:5], one.written) for one in trace.statements] == [("ALTER", 0), ("(sent", 40), ("UPDAT", 3)]
    assert [one[:3] for one in did(trace) if one[0] == "wrote"] == [
        ("wrote", "public.users", 40),
        ("wrote", "public.users", 3),
    ]


def outside(stage, *statements: str) -> Trace:
    body = "with op.get_context().autocommit_block():\n" + "\n".join(f"    op.execute({one!r})" for one in statements)
    return stage.upgrade(body)


def test_outside_of_a_transaction(stage):
    """The session adds its counts to the server's when a statement is over, but not more than once in a second."""
    batch = "UPDATE users SET name = 'b' WHERE id BETWEEN {} AND {}"
    loop = "DO $$ BEGIN FOR n IN 0..9 LOOP UPDATE users SET name = '' WHERE id / 100 = n; COMMIT; END LOOP; END $$"
    trace = outside(
        stage,
        *(batch.format(n, n + 9) for n in range(1, 100, 10)),
        "SELECT pg_sleep(1.1)",
        batch.format(1, 5),
        loop,
        "CREATE TABLE copies AS SELECT * FROM users",
        "CREATE INDEX CONCURRENTLY ix ON users (name)",
    )
    *batches, _, five, block, copy, index = trace.statements
    assert [one.written for one in batches] == [10] * 10
    assert five.written == 5
    assert (touched(block)["public.users"][1:], block.rows) == ((0, 999, 0), None)
    assert touched(copy) == {"public.copies": (0, 1000, 0, 0), "public.users": (1000, 0, 0, 0)}
    assert touched(index)["public.users"][0] >= 1000


def test_a_statement_of_seconds_outside_of_a_transaction(stage):
    """Then the session has forgotten its counts before it can be asked, and the server's tell."""
    loop = (
        "DO $$ BEGIN FOR n IN 0..3 LOOP UPDATE users SET name = '' WHERE id / 100 = n; COMMIT; PERFORM pg_sleep(0.4);"
        " END LOOP; END $$"
    )
    block, after = outside(stage, loop, "UPDATE users SET name = 'x' WHERE id = 1").statements
    assert touched(block)["public.users"][1:] == (0, 399, 0)
    assert after.written == 1


def test_what_a_deferred_trigger_writes_is_no_other_statements(stage):
    """It runs at the COMMIT, when no statement is left to tell it of."""
    for statement in (
        "CREATE FUNCTION later() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN UPDATE orders SET total = 0 WHERE id <= 100; RETURN NEW; END'",
        "CREATE CONSTRAINT TRIGGER later AFTER UPDATE ON users DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION later()",
    ):
        stage.session.execute(statement)
    trace = stage.upgrade("""
        op.execute("UPDATE users SET name = 'x' WHERE id = 1")
        with op.get_context().autocommit_block():
            op.execute("UPDATE orders SET total = 1 WHERE id = 500")
        op.execute("UPDATE users SET name = 'y' WHERE id = 2")
        op.execute("SET CONSTRAINTS ALL IMMEDIATE")
        op.execute("UPDATE orders SET total = 1 WHERE id = 500")
        """)
    assert stage.count("SELECT count(*) FROM orders WHERE total = 0") == 100
    assert [one.written for one in trace.statements] == [1, 1, 1, 100, 1]


def test_a_session_that_was_used_before(stage):
    """What a pooled session did before it was watched is no part of the migration."""
    engine = create_engine(stage.url, poolclass=QueuePool, pool_size=1)
    with engine.begin() as connection:
        connection.execute(text("UPDATE users SET name = 'before'"))
    with watching("pooled") as trace, engine.begin() as connection:
        connection.execute(text("UPDATE users SET name = 'x' WHERE id <= 4"))
    engine.dispose()
    check(trace)
    assert [one.written for one in trace.statements] == [4]


def test_the_session_prepares_nothing_of_ours(stage):
    """psycopg has a session prepare what it sends for the fifth time; DISCARD ALL in a migration, and it would not be there."""
    engine = create_engine(stage.url, poolclass=NullPool)
    with watching("often") as trace, engine.begin() as connection:
        for n in range(8):
            connection.execute(text(f"UPDATE users SET name = 'x' WHERE id <= {n}"))
        prepared = connection.execute(text("SELECT statement FROM pg_prepared_statements")).all()
    assert prepared == []
    assert [one.written for one in trace.statements] == [*range(8), 0]


def test_after_a_transaction_that_failed(stage):
    """What was written before the error, and never counted, must not come to the next try."""
    engine = create_engine(stage.url, poolclass=NullPool)
    failing = text("DO $$ BEGIN UPDATE users SET name = 'b' WHERE id <= 20; PERFORM 1 / 0; END $$")
    with watching("retried") as trace, engine.connect() as connection:
        for statement in (failing, text("UPDATE users SET name = 'x' WHERE id <= 4")):
            try:
                connection.execute(statement)
                connection.commit()
            except Exception:  # noqa: BLE001 - its own, whatever the driver calls it
                connection.rollback()
    assert [(one.error is None, one.written) for one in trace.statements] == [(False, 0), (True, 4)]


@pytest.mark.parametrize("level", ["SERIALIZABLE", "REPEATABLE READ"])
def test_a_transaction_may_still_choose_its_isolation(stage, level):
    """PostgreSQL refuses that after any query, x-ray's own included."""
    engine = create_engine(stage.url, poolclass=NullPool)
    with watching("isolated") as trace, engine.begin() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '1s'"))
        connection.execute(text(f"SET TRANSACTION ISOLATION LEVEL {level}"))
        connection.execute(text("UPDATE users SET name = 'x' WHERE id <= 4"))
    assert [one.written for one in trace.statements] == [0, 0, 4]


def test_another_search_path(stage):
    """A function of the same name in front of PostgreSQL's own would be called."""
    stage.session.execute("CREATE SCHEMA odd")
    stage.session.execute(
        "CREATE FUNCTION odd.pg_stat_get_xact_tuples_updated(oid) RETURNS bigint LANGUAGE sql AS 'SELECT 7::bigint'"
    )
    stage.session.execute("CREATE TABLE odd.users AS SELECT * FROM users")
    _, update = stage.execute(
        "SET search_path = odd, pg_catalog, public", "UPDATE users SET name = 'x' WHERE id <= 4"
    ).statements
    assert touched(update)["odd.users"][1:] == (0, 4, 0)


def test_a_server_that_does_not_count(stage):
    """track_counts may be off. Then what the driver says is all that is known."""
    stage.session.execute(f"ALTER DATABASE {stage.database} SET track_counts = off")
    try:
        trace = stage.execute("UPDATE users SET name = 'x' WHERE id <= 4")
    finally:
        stage.session.execute(f"ALTER DATABASE {stage.database} RESET track_counts")
    assert [(touched(one), one.written) for one in trace.statements] == [({}, 4)]


# Under which lock


def test_a_scan_that_is_over_before_the_strong_lock_comes(stage):
    """VALIDATE, SET NOT NULL, DROP CONSTRAINT in one revision: the lock on the table that stops all comes after the scan."""
    stage.session.execute(NAMED)
    trace = stage.execute(
        "ALTER TABLE users VALIDATE CONSTRAINT named",
        "ALTER TABLE users ALTER name SET NOT NULL",
        "ALTER TABLE users DROP CONSTRAINT named",
    )
    assert trace.strongest("users").mode == "AccessExclusiveLock"
    assert trace.under() == []
    assert [(one.did, one.mode) for one in trace.moments()] == [("scanned", "ShareUpdateExclusiveLock")]
    assert "▲" not in as_text(trace)


def test_a_scan_under_a_lock_of_an_earlier_statement(stage):
    stage.session.execute(NAMED)
    lock, validate = "LOCK TABLE users IN SHARE MODE", "ALTER TABLE users VALIDATE CONSTRAINT named"
    trace = stage.execute(lock, validate)
    assert did(trace) == [("scanned", "public.users", 1000, "ShareLock on public.users", lock)]
    assert trace.under("reads") == []
    assert str(trace.under()[0]) == (
        f"`{validate}` scanned users under ShareLock on users, which `{lock}` had taken, and blocked writes meanwhile"
    )
    assert "▲ scanned users while ShareLock on users blocked writes" in as_text(trace)


def test_rows_that_are_written_under_a_lock_of_an_earlier_statement(stage):
    """The harm is the same whatever table they are of: the lock is held until they are written."""
    add, copy = "ALTER TABLE users ADD city text", "CREATE TABLE copies AS SELECT * FROM users"
    trace = stage.execute("UPDATE orders SET total = 0", add, "UPDATE orders SET total = 1", copy)
    on = "AccessExclusiveLock on public.users"
    assert did(trace, "reads") == [
        ("wrote", "public.orders", 500, on, add),
        ("read", "public.orders", 500, on, add),
        ("wrote", "public.copies", 1000, on, add),
        ("read", "public.users", 1000, on, add),
    ]
    assert trace.under("reads", on="orders") == []
    assert len(trace.under("reads", on="users")) == 4
    page = as_text(trace)
    assert page.count("▲ wrote 500 rows of orders while AccessExclusiveLock on users blocked reads and writes") == 1
    assert "▲ read 1,000 rows of users while AccessExclusiveLock on users blocked reads and writes" in page
    assert "▲ read 500 rows" not in page, "to write them, it had to find them"
    assert "wrote 500 rows of orders while" in as_html(trace)


def test_a_table_of_few_rows_counts_too(stage):
    """Answers are graded on few rows, and run on many."""
    stage.session.execute("CREATE TABLE shops AS SELECT 1 AS id")
    trace = stage.execute("LOCK TABLE shops", "UPDATE shops SET id = 2")
    assert did(trace)[0][:3] == ("wrote", "public.shops", 1)
    assert str(trace.under()[0]).startswith("`UPDATE shops SET id = 2` wrote 1 row of shops under")


def test_work_with_its_own_lock(stage):
    trace = stage.execute(
        "CREATE INDEX ix ON users (name)",
        "ALTER TABLE orders ALTER total TYPE bigint",
    )
    [index, *rest] = did(trace)
    assert index == ("built", "public.ix", 1000, "ShareLock on public.users", "CREATE INDEX ix ON users (name)")
    assert {one[:2] for one in rest} >= {("rewrote", "public.orders"), ("built", "public.orders_pkey")}
    assert str(trace.under()[0]).endswith(
        "under ShareLock on users, which it took itself, and blocked writes meanwhile"
    )


def test_within_one_statement_the_order_is_not_known(stage):
    """A DO block may lock and write in any order: it counts as at the same time."""
    block = "DO $$ BEGIN UPDATE users SET name = ''; LOCK TABLE users; END $$"
    trace = stage.execute(block)
    assert did(trace)[0] == ("wrote", "public.users", 1000, "AccessExclusiveLock on public.users", block)


def test_a_lock_that_a_savepoint_let_go(stage):
    trace = stage.execute(
        "SAVEPOINT a", "LOCK TABLE users", "ROLLBACK TO SAVEPOINT a", "UPDATE users SET name = '' WHERE id <= 5"
    )
    assert trace.under() == []


def test_nobody_waits_for_what_is_new(stage):
    """A table that the transaction has made is locked for nobody, and its first rows keep nobody waiting."""
    trace = stage.execute(
        "CREATE TABLE copies AS SELECT * FROM users", "ALTER TABLE copies ADD city text", "UPDATE copies SET city = ''"
    )
    assert trace.under() == []
    assert trace.statements[2].written == 1000


def test_each_transaction_has_its_own_locks(stage):
    trace = stage.upgrade("""
        op.execute("ALTER TABLE users ADD city text")
        with op.get_context().autocommit_block():
            op.execute("UPDATE users SET city = ''")
        """)
    assert trace.under() == []


def test_batches_are_told_together(stage):
    statements = [f"UPDATE users SET name = '' WHERE id BETWEEN {n} AND {n + 9}" for n in range(1, 100, 10)]
    page = as_text(stage.execute("LOCK TABLE users IN SHARE MODE", *statements))
    assert "⋮ 10 such statements" in page
    assert "▲ wrote 100 rows of users while ShareRowExclusiveLock" not in page
    assert "▲ wrote 100 rows of users while ShareLock on users blocked writes" in page


def test_the_frame_and_the_json_have_it(stage):
    trace = stage.execute("ALTER TABLE users ADD city text", "UPDATE users SET city = '' WHERE id <= 3")
    update = trace.to_frame().iloc[-2]
    assert (update.written, update.touched[0].updated) == (3, 3)
    again = Trace.from_dict(json.loads(json.dumps(trace.to_dict())))
    assert [str(one) for one in again.under()] == [str(one) for one in trace.under()] != []
    assert Touched("public.users", 1, 2, 3, 4).written == 9
