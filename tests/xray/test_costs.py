"""What a migration cost, from traces of real ones: the figures by which learners compare two answers."""

from __future__ import annotations

import json

import pytest
from tests.xray.stage import on_stage

from migration_xray.costs import MEASURES, Costs, costs, roughly_megabytes, roughly_ms
from migration_xray.trace import Held, Trace, Transaction

NOTHING = Costs(0.0, 0, 0, (), (), (), 1)


@pytest.fixture(scope="module")
def module_stage(running, tmp_path_factory):
    with on_stage(running, tmp_path_factory.mktemp("costs")) as stage:
        yield stage


@pytest.fixture
def stage(module_stage):
    module_stage.reset("CREATE TABLE users AS SELECT n AS id, 'user ' || n AS name FROM generate_series(1, 1000) AS n")
    return module_stage


def cost(**figures) -> Costs:
    return Costs(**(vars(NOTHING) | figures))


# From a trace


def test_a_change_of_the_catalog_costs_a_moment_and_nothing_else(stage):
    found = costs(stage.execute("ALTER TABLE users ADD COLUMN city text"))
    assert found.exclusive_ms > 0
    assert (found.rows, found.scanned, found.rewrote, found.built, found.revisions) == (0, (), (), (), 1)


def test_rows_are_those_that_were_written(stage):
    """The driver counts what a SELECT gives, too: an answer that looked first seemed to have written every row."""
    found = costs(
        stage.execute(
            "SELECT * FROM users",
            "UPDATE users SET name = name WHERE id <= 300",
            "DELETE FROM users WHERE id <= 20",
            "INSERT INTO users VALUES (1, 'Ann'), (2, 'Ben') RETURNING id",
            "MERGE INTO users USING (VALUES (3)) AS new (id) ON users.id = new.id"
            " WHEN NOT MATCHED THEN INSERT VALUES (new.id, 'Cy')",
            "CREATE TABLE copies AS SELECT * FROM users WHERE id > 900",
        )
    )
    assert found.rows == 300 + 20 + 2 + 1 + 100
    assert found.wal_bytes > 10_000


def test_rows_that_a_do_block_writes_are_counted(stage):
    """A backfill in a DO block was ranked as if it had written nothing."""
    assert costs(stage.execute("DO $$ BEGIN UPDATE users SET name = '' WHERE id <= 300; END $$")).rows == 300


def test_rows_that_sqlalchemy_sends_at_once_are_all_counted(stage):
    found = costs(
        stage.upgrade("""
        users = sa.table("users", sa.column("id"), sa.column("name"))
        op.bulk_insert(users, [{"id": n, "name": "new"} for n in range(2000, 2050)])
        op.get_bind().execute(sa.text("UPDATE users SET name = :new WHERE id = :id"), [{"new": "x", "id": n} for n in range(1, 8)])
        """)
    )
    assert found.rows == 50 + 7


def test_scans_rewrites_and_builds_are_named_each_time(stage):
    found = costs(
        stage.execute(
            "ALTER TABLE users ADD CONSTRAINT a CHECK (id > 0)",
            "ALTER TABLE users ADD CONSTRAINT b CHECK (id > -1)",
            "ALTER TABLE users ADD COLUMN token uuid DEFAULT gen_random_uuid()",
            "CREATE INDEX ix_users_name ON users (name)",
        )
    )
    assert (found.scanned, found.rewrote) == (("public.users", "public.users"), ("public.users",))
    assert found.built == ("public.ix_users_name",)
    assert found.figures()[3:5] == ["users (2 times)", "rewrote users; built ix_users_name"]


def test_an_index_that_is_built_beside_everybody_holds_no_strong_lock(stage):
    found = costs(
        stage.upgrade("""
        with op.get_context().autocommit_block():
            op.execute("CREATE INDEX CONCURRENTLY ix_users_name ON users (name)")
        """)
    )
    assert (found.exclusive_ms, found.built) == (0, ("public.ix_users_name",))


def test_what_was_rolled_back_has_cost_its_time(stage):
    """Nothing is left of a migration that failed, but people waited for it."""
    found = costs(
        stage.execute(
            "ALTER TABLE users ADD COLUMN city text",
            "UPDATE users SET city = ''",
            "SELECT pg_sleep(0.2)",
            "SELECT nothing",
            fails=True,
        )
    )
    assert found.exclusive_ms >= 200
    assert found.rows == 1000


def test_alembics_own_bookkeeping_is_left_out(stage):
    stage.migration("op.execute('SELECT 1')")
    stage.migration("op.execute('SELECT 1')", "0002", "0001")
    found = costs(stage.watch())
    assert (found.rows, found.exclusive_ms, found.revisions) == (0, 0, 2)


def test_time_counts_once_where_one_transaction_locks_several_tables():
    """Two tables that are locked for the same second cost a second, and two transactions cost one each."""

    def held(*ms: float) -> Transaction:
        return Transaction(
            0.0, "d", held=[Held(f"public.t{n}", "AccessExclusiveLock", one, "…") for n, one in enumerate(ms)]
        )

    weak = Transaction(0.0, "d", held=[Held("public.t", "ShareLock", 5_000.0, "writes")])
    assert (
        costs(Trace("upgrade head", 0.0, transactions=[held(900.0, 1_000.0), held(500.0), weak])).exclusive_ms == 1_500
    )


# As JSON


def test_costs_come_back_from_json(stage):
    found = costs(stage.execute("ALTER TABLE users ADD CONSTRAINT a CHECK (id > 0)"))
    assert Costs.from_dict(json.loads(json.dumps(found.to_dict()))) == found


@pytest.mark.parametrize("broken", [None, [], "x", {}, {"rows": 1}, NOTHING.to_dict() | {"rows": "many"}])
def test_what_is_not_costs_is_none(broken):
    """People edit files, and disks lose parts of them."""
    assert Costs.from_dict(broken) is None


# In words, and compared


def test_figures_claim_no_more_than_the_next_run_would_confirm():
    """Two runs of one answer differ by some milliseconds: "31 ms against 27 ms" reads like a result."""
    assert [roughly_ms(ms) for ms in (0, 3.2, 9.9, 31, 149, 960, 1_240, 12_345)] == [
        "none", "under 10 ms", "under 10 ms", "about 30 ms", "about 100 ms", "about 1,000 ms", "about 1.2 s", "about 12.3 s",
    ]  # fmt: skip
    assert [roughly_megabytes(count) for count in (0, 99_000, 540_000, 9_900_000, 61_230_000)] == [
        "under 0.1 MB", "under 0.1 MB", "about 0.5 MB", "about 9.9 MB", "about 61 MB",
    ]  # fmt: skip
    assert len(NOTHING.figures()) == len(MEASURES)


@pytest.mark.parametrize(
    ("mine", "others", "said"),
    [(7.0, 31.0, "no real difference"), (110.0, 290.0, "no real difference"), (700.0, 1_200.0, "no real difference"),
     (40.0, 900.0, "less"), (5_000.0, 30.0, "more"), (0.0, 0.0, "no real difference")],
)  # fmt: skip
def test_a_few_milliseconds_are_never_called_better_or_worse(mine, others, said):
    assert cost(exclusive_ms=mine).differences(cost(exclusive_ms=others))[0] == said


def test_what_does_not_vary_is_compared_exactly():
    mine = cost(rows=999, wal_bytes=300_000, scanned=("t",), built=("i",), revisions=2)
    other = cost(rows=1000, wal_bytes=900_000, rewrote=("t",), revisions=1)
    assert mine.differences(other) == ["no real difference", "less", "no real difference", "more", "the same", "more"]
    assert cost(wal_bytes=40_000_000).differences(other)[2] == "more"


def test_the_score_sorts_by_what_stops_people_first():
    best_first = [
        cost(),
        cost(revisions=2),
        cost(built=("i",)),
        cost(scanned=("t",)),
        cost(wal_bytes=5_000_000),
        cost(rows=10),
        cost(exclusive_ms=20.0),
        cost(exclusive_ms=1_500.0),
        cost(exclusive_ms=60_000.0),
    ]
    scores = [one.score for one in best_first]
    assert scores == sorted(scores) and len(set(scores)) == len(scores)


def test_noise_does_not_decide():
    """The same answer took 12 ms on a quiet machine and 180 ms on a busy one."""
    assert cost(exclusive_ms=12.0, wal_bytes=10_000).score == cost(exclusive_ms=180.0, wal_bytes=600_000).score
    assert cost(exclusive_ms=12.0).score != cost().score, "to take no such lock at all is better"
