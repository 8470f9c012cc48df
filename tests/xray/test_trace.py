"""A trace as data, as JSON and as a page: what people read, and what their own programs read."""

from __future__ import annotations

import json
import re
from importlib.resources import files

import jsonschema
import pytest
from tests.xray.stage import on_stage

from migration_xray.locks.modes import MODES
from migration_xray.reports import as_html, as_text
from migration_xray.trace import VERSION, Failure, Held, Lock, Statement, Trace, Transaction, Waited

SCHEMA = json.loads((files("migration_xray") / "trace.schema.json").read_text(encoding="utf-8"))
BUSY = """
op.execute("CREATE TABLE cats (id int PRIMARY KEY, name text)")
op.execute("INSERT INTO cats SELECT n, 'cat ' || n FROM generate_series(1, 1000) AS n")
op.execute("ALTER TABLE users ADD COLUMN token uuid DEFAULT gen_random_uuid()")
with op.get_context().autocommit_block():
    op.execute("CREATE INDEX CONCURRENTLY ix_users_name ON users (name)")
op.execute("ALTER TABLE users ADD CONSTRAINT name_is_there CHECK (name <> '')")
"""
FAILING = """
op.execute("ALTER TABLE users ADD COLUMN age int")
op.execute("UPDATE users SET nothing = 1")
"""


@pytest.fixture(scope="module")
def traces(running, tmp_path_factory):
    """Real ones: of much that happens, of a failure, of nothing, and of a command that opens no session."""
    with on_stage(running, tmp_path_factory.mktemp("trace")) as stage:
        stage.reset("CREATE TABLE users AS SELECT 'user ' || n AS name FROM generate_series(1, 50000) AS n")
        stage.migration(BUSY)
        yield {
            "busy": stage.watch(),
            "nothing": stage.watch(),
            "offline": stage.watch("upgrade", "head", "--sql"),
            "failing": _failing(stage),
        }


def _failing(stage):
    stage.migration(FAILING, "0002", "0001")
    return stage.watch(fails=True)


@pytest.mark.parametrize("name", ["busy", "nothing", "offline", "failing"])
def test_the_json_is_as_its_schema_says(traces, name):
    """Programs rely on it: a key that the schema does not know, or that is missing, breaks them."""
    data = json.loads(json.dumps(traces[name].to_dict()))
    jsonschema.Draft202012Validator(SCHEMA).validate(data)
    assert Trace.from_dict(data).to_dict() == data


def test_the_schema_is_that_of_this_version():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["version"]["const"] == VERSION
    assert set(SCHEMA["$defs"]["mode"]["enum"]) == set(MODES)
    blocks = SCHEMA["$defs"]["transaction"]["properties"]["held"]["items"]["properties"]["blocks"]["enum"]
    assert set(blocks) == {mode.blocks for mode in MODES.values()}


def test_the_frame_has_a_row_for_each_statement(traces):
    """pandas guesses types from the rows: an empty trace had columns of another type than a full one."""
    frame, empty = traces["busy"].to_frame(), Trace("current", 0.0).to_frame()
    assert len(frame) == sum(len(transaction.statements) for transaction in traces["busy"].transactions)
    assert frame.loc[frame.sql.str.startswith("INSERT INTO cats"), "rows"].tolist() == [1000]
    numbers = ["transaction", "at", "ms", "rows", "wal_bytes", "lock_wait_ms", "own", "unseen"]
    assert frame.dtypes[numbers].tolist() == empty.dtypes[numbers].tolist()


def test_only_numbers_differ_between_two_pages(traces):
    """Lessons store the page: a column that is as wide as its numbers, or a line more, would make each run another."""
    first, second = traces["busy"], Trace.from_dict(traces["busy"].to_dict())
    for transaction in second.transactions:
        transaction.ms *= 1000
        for statement in transaction.statements:
            statement.ms *= 1000
        transaction.held = [Held(one.relation, one.mode, one.ms * 1000, one.blocks) for one in transaction.held]

    def without_numbers(page: str) -> str:
        return re.sub(r"\d[\d,.]* (ms|MB)", "N", page)

    assert without_numbers(as_text(first)) == without_numbers(as_text(second))
    pages = [as_html(trace) for trace in (first, second)]
    assert without_numbers(pages[0]) == without_numbers(pages[1])


def test_the_page_tells_the_worst_first_by_sign_and_word(traces):
    page = as_text(traces["busy"])
    worst = page.index("■■■ AccessExclusiveLock on users")
    assert worst < page.index("⟳ rewrote users") < page.index("■ ShareUpdateExclusiveLock on users")
    assert "▦ built ix_users_name" in page
    assert "▤ scanned users to verify" in page
    assert "AccessExclusiveLock on cats" not in page, "nobody can wait for a table that only this transaction sees"


def test_the_batches_of_a_backfill_are_told_as_one():
    """A hundred statements that differ in two numbers hid the one that locked the table."""
    batches = [
        Statement(
            f"UPDATE t1 SET a = 0 WHERE id BETWEEN {n} AND {n + 9}",
            0.0,
            ms=10,
            rows=10,
            wal_bytes=400_000,
            unseen=n > 1,
        )
        for n in range(1, 100, 10)
    ]
    rest = [Statement(f"ALTER TABLE t{n} ADD COLUMN c int", 0.0) for n in (1, 2, 3)]
    trace = Trace("upgrade head", 0.0, "18", transactions=[Transaction(0.0, "d", statements=[*batches, *rest])])
    assert as_text(trace).splitlines()[3:6] == [
        "  UPDATE t1 SET a = 0 WHERE id BETWEEN 1 AND 10",
        "      ⋮ 10 such statements, with other numbers; together:",
        "      100 ms, 100 rows, 4.0 MB of WAL",
    ]
    assert [f"ALTER TABLE t{n} ADD COLUMN c int" in as_text(trace) for n in (1, 2, 3)] == [True] * 3, (
        "a number in a name is no batch"
    )
    assert "10 such statements" in as_html(trace)
    batches[4].error = Failure("57014", "canceled")
    assert "✘ failed: canceled" in as_text(trace), "the one that failed is told by itself"
    assert "4 such statements" in as_text(trace) and "5 such statements" in as_text(trace)


def test_batches_that_commit_one_by_one_are_told_as_one_too():
    """Outside of a transaction each statement is one of its own: fifty headings for one backfill."""
    batches = [
        Transaction(
            0.0,
            "d",
            autocommit=True,
            revisions=["0004"],
            ms=n,
            statements=[Statement(f"UPDATE t SET a = 0 WHERE id > {n}", 0.0, ms=n, rows=10)],
            held=[Held("public.t", "ShareLock", n, "writes")],
            waited=[Waited("public.t", 1, n)],
        )
        for n in (100, 300, 200)
    ]
    other = Transaction(0.0, "d", autocommit=True, revisions=["0004"], statements=[Statement("VACUUM", 0.0)])
    page = as_text(Trace("upgrade head", 0.0, "18", transactions=[*batches, other]))
    assert page.count("Outside of a transaction") == 2
    assert page.splitlines()[2:7] == [
        "Outside of a transaction: 0004, committed after 600 ms",
        "  ■■ ShareLock on t, held for 300 ms: blocks writes; 1 session waited, up to 300 ms",
        "  UPDATE t SET a = 0 WHERE id > 100",
        "      ⋮ 3 such statements, with other numbers; together:",
        "      600 ms, 30 rows, 0.0 MB of WAL",
    ]


def test_a_page_of_nothing_says_so(traces):
    assert as_text(traces["nothing"]).endswith("no statement but Alembic's own")
    assert "it opened no database, so there is nothing to see" in as_text(traces["offline"])


def test_what_people_write_is_escaped():
    """A comparison in a CHECK, or a default with markup in it, broke the page."""
    statement = Statement("ALTER TABLE t ADD CHECK (a < b AND c <> '<b>')", 0.0, error=Failure("23514", "<i>no</i>"))
    statement.locks.append(Lock("public.<t>", "AccessExclusiveLock"))
    held = [Held("public.<t>", "AccessExclusiveLock", 1.0, "reads and writes")]
    trace = Trace(
        "upgrade <x>", 0.0, "18", "<no>", None, None, [Transaction(0.0, "d", statements=[statement], held=held)]
    )
    page = as_html(trace)
    assert not re.search(r"<(?!/?(h3|h4|div|span|table|thead|tbody|tr|th|td|code|br)\b)", page)
    assert "(a &lt; b AND c &lt;&gt; &#x27;&lt;b&gt;&#x27;)" in page
