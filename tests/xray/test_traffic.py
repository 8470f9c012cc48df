"""Traffic: real sessions on real rows, what they feel of locks and of changed tables, and that nothing of them stays.

A chart that shows a wait that PostgreSQL never caused, or hides one that it did, teaches something wrong; sessions or
rows that stay behind spoil the next lesson. Every migration here is a few statements on a second session.
"""

from __future__ import annotations

import os
import re
import signal
import statistics
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from html import escape
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from PIL import Image

from migration_lab import last_traffic
from migration_lab.author.refresh import keep_what_is_the_same
from migration_xray.errors import UserError
from migration_xray.markup import image
from migration_xray.trace import Failure, Statement, Trace, Transaction
from migration_xray.traffic import chart, traffic
from migration_xray.traffic.felt import Band, Felt, Sample
from migration_xray.traffic.traffic import Traffic, asked

USERS = """
    CREATE TABLE users (id serial PRIMARY KEY, name varchar(100) NOT NULL, email varchar(255) NOT NULL UNIQUE, age text);
    INSERT INTO users (name, email, age) SELECT 'Ann ' || n, n || '@example.com', n % 80 FROM generate_series(1, 5000) AS n;
    ANALYZE users"""
OLD = """-- The version that knows users.name.

-- read
SELECT id, name, age::integer FROM users WHERE id = :id;
-- write
UPDATE users SET name = name WHERE id = :id AND 'at 12:id' <> '' AND (ARRAY[1, 2])[1:1] <> '{}';
-- insert
INSERT INTO users (name, email) SELECT name, md5(email || random()) FROM users WHERE id = :id RETURNING id;
"""
NEW = """-- read
SELECT id, full_name FROM users WHERE id = :id::integer
-- read
SELECT full_name FROM users WHERE :id = id;
"""


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    """A third of the usual lead and tail, so that many tests may have traffic."""
    monkeypatch.setattr(traffic, "LEAD", 0.1)
    monkeypatch.setattr(traffic, "TAIL", 0.2)


@pytest.fixture
def users(database):
    """A session in a database with the table users."""
    database.execute(USERS)
    return database


@pytest.fixture
def project(tmp_path):
    """A project with two versions of the application."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "old.sql").write_text(OLD, encoding="utf-8")
    (tmp_path / "app" / "new.sql").write_text(NEW, encoding="utf-8")
    return tmp_path


@pytest.fixture
def on(running):
    """Traffic on a table of the database that a session is in."""

    def begin(session, table, **options) -> Traffic:
        return Traffic(running.database_url(session.info.dbname), table, **options)

    return begin


def digest(session, table: str) -> tuple:
    return session.execute(
        f"SELECT count(*), md5(string_agg(t::text, '' ORDER BY t::text)) FROM {table} AS t"
    ).fetchone()


def sessions_left(session) -> list[str]:
    """The traffic's sessions, once the server has had time to notice that they were closed."""
    query = "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'traffic%%' AND datname = %s"
    for _ in range(100):
        left = [name for (name,) in session.execute(query, [session.info.dbname])]
        if not left:
            break
        time.sleep(0.05)
    return left


def lock(session, table: str, mode: str, seconds: float) -> None:
    with session.transaction():
        session.execute(f"LOCK TABLE {table} IN {mode} MODE")
        time.sleep(seconds)


# What the sessions do


def test_the_load_is_steady_and_on_real_rows(users, on):
    """A rate that sagged, or a single hot row, would be no measure of what a migration does to an application."""
    before = digest(users, "users")
    began = users.execute("SELECT pg_current_xact_id()::xid").fetchone()[0]
    with on(users, "users") as load:
        time.sleep(1)
        query = "SELECT application_name FROM pg_stat_activity WHERE datname = current_database()"
        names = {name for (name,) in users.execute(query)}
    felt = load.felt
    assert {f"traffic reader {n}" for n in range(1, 5)} | {"traffic writer 1", "traffic writer 2"} <= names
    assert felt.errors == {} and felt.waiting == ()
    assert 0.9 < felt.achieved < 1.05
    counts = felt.to_frame().groupby(["kind", "session"]).size()
    assert counts.min() > 0.8 * counts.max(), counts
    rewritten = users.execute(
        "SELECT count(*) FROM users WHERE age(xmin) <= age(%s::text::xid)", [str(began)]
    ).fetchone()[0]
    assert 0.9 * len(felt.times("write")) < rewritten, "each write is a new version of another row"
    assert digest(users, "users") == before
    assert sessions_left(users) == []


def test_keys_are_spread_over_a_big_table(users, on):
    """The first thousand of a million rows would all lie in the first few pages, where a backfill begins."""
    users.execute("CREATE TABLE big AS SELECT n AS id, repeat('x', 100) AS filler FROM generate_series(1, 100000) AS n")
    users.execute("ALTER TABLE big ADD PRIMARY KEY (id)")
    plan = on(users, "big")._plan()
    ids = [int(key) for session in plan["sessions"] for (key,) in session["keys"]]
    assert len(set(ids)) == len(ids) == 1000
    per_tenth = [sum(low < key <= low + 10_000 for key in ids) for low in range(0, 100_000, 10_000)]
    assert min(per_tenth) > 20, per_tenth
    assert plan == on(users, "big")._plan(), "the same ones every time"


AWKWARD = {
    "two columns": "CREATE TABLE lines (order_id int, line text, qty int, PRIMARY KEY (line, order_id));"
    "INSERT INTO lines SELECT n % 50, 'l' || n, n FROM generate_series(1, 300) AS n",
    "text": "CREATE TABLE lines (code varchar(12) PRIMARY KEY, note text);"
    "INSERT INTO lines SELECT 'c''%s \"' || n, E'a\\\\b' FROM generate_series(1, 300) AS n",
    "uuid": "CREATE TABLE lines (id uuid PRIMARY KEY, at timestamptz DEFAULT now());"
    "INSERT INTO lines SELECT gen_random_uuid() FROM generate_series(1, 300)",
    "nothing but a key": "CREATE TABLE lines (id bigint PRIMARY KEY); INSERT INTO lines SELECT generate_series(1, 300)",
    "identity, generated, unique": "CREATE TABLE lines (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n int UNIQUE,"
    " twice int GENERATED ALWAYS AS (n * 2) STORED, slug text, gone boolean DEFAULT false);"
    "CREATE UNIQUE INDEX ON lines (lower(slug)) WHERE NOT gone;"
    "INSERT INTO lines (n, slug) SELECT n, 'S' || n FROM generate_series(1, 300) AS n",
    "partitions": "CREATE TABLE lines (id int, day date, note text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);"
    "CREATE TABLE lines_1 PARTITION OF lines FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');"
    "CREATE TABLE lines_2 PARTITION OF lines FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');"
    "INSERT INTO lines SELECT n, date '2026-01-01' + n % 59, 'x' FROM generate_series(1, 300) AS n",
    "one row": "CREATE TABLE lines (id int PRIMARY KEY, note text); INSERT INTO lines VALUES (1, 'x')",
}


@pytest.mark.parametrize("statements", AWKWARD.values(), ids=AWKWARD.keys())
def test_any_table_with_a_primary_key_can_have_traffic(statements, database, on):
    """Learners point it at tables of their own; and whatever the traffic inserts is gone again."""
    database.execute(statements)
    before = digest(database, "lines")
    with on(database, "lines", insert=True) as load:
        time.sleep(0.2)
    assert load.felt.refusals == []
    assert all(load.felt.times(kind) for kind in ("read", "write", "insert"))
    assert load.felt.left is None
    assert digest(database, "lines") == before


def test_a_name_is_read_as_sql_reads_it(database, on):
    database.execute('CREATE SCHEMA "My Shop"')
    database.execute('CREATE TABLE "My Shop"."Order ""Items"" %s" ("The Id" int PRIMARY KEY, "a:b" text)')
    database.execute('INSERT INTO "My Shop"."Order ""Items"" %s" SELECT generate_series(1, 9), $$x$$')
    name = asked('"My Shop"."Order ""Items"" %s" --insert')["table"]
    with on(database, name, insert=True) as load:
        pass
    assert load.felt.errors == {} and load.felt.samples
    assert load.felt.table == name


def test_inserted_rows_that_cannot_be_deleted_are_told(users, on):
    """A migration may make rows that refer to them; then the data are not as before, and that must be said."""
    with on(users, "users", insert=True) as load:
        users.execute("CREATE TABLE orders (user_id int REFERENCES users)")
        time.sleep(0.2)
        users.execute("INSERT INTO orders SELECT max(id) FROM users")
    assert "violates foreign key constraint" in load.felt.left
    assert "The rows that the traffic inserted are still there: update or delete on table" in str(load.felt)


# What they feel


def test_a_lock_is_felt_as_long_as_it_is_held(users, on):
    with on(users, "users") as calm:
        time.sleep(0.3)
    with on(users, "users") as load:
        lock(users, "users", "ACCESS EXCLUSIVE", 0.6)
    felt = load.felt
    assert felt.worst_read_ms >= 550 and felt.worst_write_ms >= 550
    assert calm.felt.worst_read_ms < felt.worst_read_ms / 2
    assert statistics.median(calm.felt.times("read")) < 50
    assert str(felt).startswith(f"Longest read stall {felt.worst_read_ms:,.0f} ms, longest write stall ")
    assert str(felt).endswith(" ms; no errors.")


def test_a_request_that_was_due_during_a_stall_waited_too(users, on):
    """One sample for a whole stall would make a second of standstill look like one slow request among hundreds."""
    with on(users, "users", readers=1, writers=0) as load:
        lock(users, "users", "ACCESS EXCLUSIVE", 0.6)
    waited = [ms for ms in load.felt.times("read") if ms > 100]
    assert len(waited) >= 20
    assert min(waited) < 200 and max(waited) >= 550
    assert load.felt.achieved > 0.9, "what was due is made up for"


def test_a_backlog_is_sent_to_its_end(users, on):
    """On a slow machine, a stall of 26 seconds was drawn for 3: the longest waits of all looked like silence."""
    with on(users, "users", readers=0, writers=1, rate=2000) as load:
        lock(users, "users", "SHARE", 1.0)
    felt = load.felt
    assert felt.waiting == () and all(sample.answered for sample in felt.samples)
    assert felt.achieved > 0.99, "what was due before the end and not sent is missing from the picture"
    waited = sorted(sample.at for sample in felt.samples if sample.ms > 100)
    assert waited[-1] - waited[0] > 0.8
    assert max(after - before for before, after in pairwise(waited)) < 0.1, "no gap in the stall"


def test_share_lock_stops_writes_and_not_reads(users, on):
    with on(users, "users", insert=True) as load:
        lock(users, "users", "SHARE", 0.6)
    felt = load.felt
    assert felt.worst_write_ms >= 550 and max(felt.times("insert")) >= 550
    assert felt.worst_read_ms < felt.worst_write_ms / 2


def test_a_lock_that_outlasts_the_traffic_counts_with_its_time_so_far(users, running, on, monkeypatch):
    """A migration that was left open must not hang the notebook, nor look harmless because nobody answered."""
    monkeypatch.setattr(traffic, "PATIENCE", 0.3)
    with running.connect(users.info.dbname, autocommit=False) as holder:
        with on(users, "users") as load:
            holder.execute("LOCK TABLE users IN SHARE MODE")
            time.sleep(0.4)
        felt = load.felt
        assert felt.waiting == ("traffic writer 1", "traffic writer 2")
        assert felt.worst_write_ms >= 800
        assert felt.errors == {}, "the cancel is the lab's own"
        assert felt.times("read") and all(sample.answered for sample in felt.samples if sample.kind == "read")
        waiting = [sample for sample in felt.samples if not sample.answered]
        assert len(waiting) > 2 * 0.5 * felt.rate, "what was due behind the statement that waits waits too"
        gone = [sample.at + sample.ms / 1000 for sample in waiting]
        assert max(gone) - min(gone) < 0.1, "each has waited from when it was due until the traffic was given up"
        assert "where writers still waited when the traffic ended; no errors." in str(felt)
        assert sessions_left(users) == []


def test_errors_are_told_by_sqlstate_and_version(users, project, on):
    """Expand and contract is about exactly this: which version breaks, when, and how."""
    with on(users, "users", apps=["old", "new"], project=project) as load:
        users.execute("ALTER TABLE users ADD COLUMN full_name text")
        time.sleep(0.3)
        assert {"traffic old reader 1", "traffic old writer 1", "traffic new reader 2"} <= set(load.sessions)
        users.execute("ALTER TABLE users DROP COLUMN name")
        time.sleep(0.2)
    felt = load.felt
    assert set(felt.errors) == {"42703"}
    new, old = felt.refusals
    assert (new.app, new.message) == ("new", 'column "full_name" does not exist')
    assert (old.app, old.message) == ("old", 'column "name" does not exist')
    assert new.times + old.times == felt.errors["42703"]
    assert f'42703 ×{old.times} by old (column "name" does not exist)' in str(felt)
    frame = felt.to_frame()
    kinds = frame[frame.error.notna()].groupby("app").kind.unique().map(set).to_dict()
    assert kinds == {"new": {"read"}, "old": {"read", "write", "insert"}}
    after = frame[(frame.app == "new") & (frame["at"] > frame[frame.app == "old"]["at"].min() + 0.5)]
    assert len(after) and after.error.isna().all(), "the new version works from its column on"
    assert users.execute("SELECT count(*) FROM users").fetchone()[0] == 5000


def test_a_prepared_statement_of_an_old_schema_fails_once_and_is_made_anew(users, on):
    """As in an application: drivers prepare statements, and forget them in the rollback after an error."""
    with on(users, "users", writers=0) as load:
        time.sleep(0.1)
        users.execute("ALTER TABLE users ALTER COLUMN age TYPE integer USING age::integer")
        time.sleep(0.2)
    felt = load.felt
    assert felt.refusals == [(None, "0A000", "cached plan must not change result type", 4)]
    assert felt.samples[-1].error is None


def test_errors_between_successes_are_the_only_errors(users, project, on):
    """Two of an application's three statements fail. After two errors in a row, the third statement failed too, with
    26000 (prepared statement does not exist): the server had dropped it, and psycopg went on to use its name."""
    fails = "-- read\nSELECT full_name FROM users WHERE id = :id;\n"
    works = "-- read\nSELECT id, email FROM users WHERE id = :id;\n"
    (project / "app" / "mixed.sql").write_text(fails + fails + works, encoding="utf-8")
    with on(users, "users", apps=["mixed"], project=project) as load:
        time.sleep(0.3)
    assert [(one.app, one.sqlstate) for one in load.felt.refusals] == [("mixed", "42703")]
    assert load.felt.errors["42703"] < len(load.felt.samples), "no success between the errors: this test shows nothing"


WORKS = {
    "read": "SELECT id, email FROM users WHERE id = :id",
    "write": "UPDATE users SET name = name WHERE id = :id",
    "insert": "INSERT INTO users (name, email) SELECT name, md5(email || random()) FROM users WHERE id = :id RETURNING id",
}
FAILS = {
    "42703": {  # the server refuses to prepare it
        "read": "SELECT full_name FROM users WHERE id = :id",
        "write": "UPDATE users SET full_name = name WHERE id = :id",
        "insert": "INSERT INTO users (full_name) SELECT name FROM users WHERE id = :id RETURNING id",
    },
    "22012": {  # it is prepared, and then it fails
        "read": "SELECT 1 / (id - id) FROM users WHERE id = :id",
        "write": "UPDATE users SET age = (1 / (id - id))::text WHERE id = :id",
        "insert": "INSERT INTO users (name, email) SELECT name, 1 / (id - id) FROM users WHERE id = :id RETURNING id",
    },
}


@pytest.mark.parametrize("sqlstate", FAILS)
def test_error_success_error_in_each_kind_of_session(users, project, on, sqlstate):
    """An application's reads, writes and inserts each meet the error of theirs, again and again, and no 26000 beside it."""
    fails = FAILS[sqlstate]
    statements = [f"-- {kind}\n{one[kind]};" for kind in WORKS for one in (fails, WORKS, fails)]
    (project / "app" / "torn.sql").write_text("\n".join(statements), encoding="utf-8")
    with on(users, "users", apps=["torn"], insert=True, project=project) as load:
        time.sleep(0.5)
    assert set(load.felt.errors) == {sqlstate}
    for kind in WORKS:
        met = [[one.error for one in load.felt.samples if one.session == name] for name in _sessions(load.felt, kind)]
        assert any("x.x" in "".join("x" if one else "." for one in errors) for errors in met), (kind, met)


def _sessions(felt: Felt, kind: str) -> set[str]:
    return {one.session for one in felt.samples if one.kind == kind}


def test_error_success_error_without_an_application(users, on):
    """The sessions that need no statements of anybody's own: twice the type of a column changes under them."""
    with on(users, "users", insert=True) as load:
        for kind in ("integer", "text"):
            time.sleep(0.2)
            users.execute(f"ALTER TABLE users ALTER COLUMN age TYPE {kind} USING age::{kind}")
        time.sleep(0.2)
    assert set(load.felt.errors) == {"0A000"}
    readers = [[one.error for one in load.felt.samples if one.session == name] for name in _sessions(load.felt, "read")]
    assert all(sum(error is not None for error in errors) == 2 and errors[-1] is None for errors in readers), readers


def test_a_session_whose_connection_dies_counts_an_error_and_comes_back(users, on):
    query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE (application_name, datname) = ('traffic reader 1', %s)"
    with on(users, "users", readers=2, writers=0) as load:
        users.execute(query, [users.info.dbname])
        time.sleep(0.4)
    felt = load.felt
    assert felt.errors in ({"57P01": 1}, {"08006": 1})
    assert {sample.session for sample in felt.samples if sample.error} == {"traffic reader 1"}
    assert [sample for sample in felt.samples if sample.session == "traffic reader 1"][-1].error is None


# How it ends


@pytest.mark.parametrize("end", [ZeroDivisionError, KeyboardInterrupt])
def test_a_body_that_fails_leaves_what_was_felt_and_no_session(end, users, on):
    before = digest(users, "users")
    with pytest.raises(end), on(users, "users", insert=True) as load:
        time.sleep(0.2)
        raise end
    assert load.felt.times("insert") and last_traffic() is load.felt
    assert sessions_left(users) == []
    assert digest(users, "users") == before


def test_an_interrupt_does_not_wait_for_a_lock(users, running, on):
    """Somebody who presses stop while everything hangs wants it to stop."""
    with running.connect(users.info.dbname, autocommit=False) as holder:
        with pytest.raises(KeyboardInterrupt), on(users, "users") as load:
            holder.execute("LOCK TABLE users")
            time.sleep(0.3)
            raise KeyboardInterrupt
        assert len(load.felt.waiting) == 6
        assert sessions_left(users) == []


@pytest.mark.skipif(os.name == "nt", reason="sends a signal as POSIX systems do")
def test_a_killed_kernel_leaves_neither_sessions_nor_rows(users, running):
    before = digest(users, "users")
    url = running.database_url(users.info.dbname).render_as_string(hide_password=False)
    kernel = f"""
import time
from sqlalchemy import make_url
from migration_xray.traffic.traffic import Traffic
with Traffic(make_url({url!r}), "users", insert=True):
    print("at work", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", kernel], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "at work\n"
        process.send_signal(signal.SIGKILL)
    assert sessions_left(users) == []
    deadline = time.monotonic() + 20  # the rows go last, by a session of their own
    while digest(users, "users") != before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert digest(users, "users") == before


@pytest.mark.skipif(os.name == "nt", reason="sends a signal as POSIX systems do")
def test_a_process_that_dies_is_told_in_words(users, on):
    with pytest.raises(UserError, match="The traffic's process ended before its time"), on(users, "users") as load:
        load.process.kill()


# What can't have traffic


REFUSED = {
    "usres": "There is no table usres in this database. Did you mean users?",
    "audit.log": "There is no table audit.log in this database. Its tables are: keyless, nothing_in_it, users.",
    "a.b.c.d": "There is no table a.b.c.d in this database.",
    '"users': 'There is no table "users in this database.',
    "grown": "grown is a view. Traffic reads and writes the rows of a table: name the one behind it.",
    "users_pkey": "users_pkey is an index.",
    "keyless": "keyless has no primary key, and traffic reads and writes row by row. Name a table that has one.",
    "nothing_in_it": "nothing_in_it is empty. Traffic reads and writes rows that are there: put some in first.",
    "users --readers 0 --writers 0": "There would be no traffic: no reader and no writer is left. Ask for at least one.",
    "users --readers many": "argument --readers: many is no number from 0 to 20. It is written `%%traffic TABLE [",
    "users --writers 21": "argument --writers: 21 is no number from 0 to 20.",
    "users orders": "unrecognized arguments: orders.",
    "": "the following arguments are required: TABLE.",
    "users --app": "argument --app: expected one argument.",
    "users --app next": "There is no app/next.sql in this project, which would say what the application's version next does. "
    "It has new, old.",
    "users --app ../app/old": "There is no app/../app/old.sql in this project",
    "users --app new --insert": "Nothing is inserted by app/new.sql: it has no `-- insert`.",
}


@pytest.fixture
def refusing(users):
    users.execute(
        "CREATE VIEW grown AS SELECT * FROM users; CREATE TABLE keyless AS SELECT 1 AS id;"
        "CREATE TABLE nothing_in_it (id int PRIMARY KEY)"
    )
    return users


@pytest.mark.parametrize("line", REFUSED)
def test_what_cannot_be_is_said_before_anything_begins(line, refusing, project, on):
    with pytest.raises(UserError) as refusal, on(refusing, project=project, **asked(line)):
        raise AssertionError("the body ran")
    assert REFUSED[line] in str(refusal.value)


def test_a_role_that_may_not_write_is_told(users, running, on):
    users.execute(
        "GRANT SELECT ON users TO pg_monitor; CREATE ROLE traffic_reader LOGIN IN ROLE pg_monitor PASSWORD 'x'"
    )
    try:
        url = running.database_url(users.info.dbname).set(username="traffic_reader", password="x")
        with pytest.raises(UserError, match="permission denied for table users.*needs SELECT and UPDATE"):
            Traffic(url, "users").__enter__()
        with Traffic(url, "users", writers=0) as load:
            pass
        assert load.felt.times("read") and load.felt.errors == {}
    finally:
        users.execute("DROP OWNED BY traffic_reader; DROP ROLE traffic_reader")


def test_a_table_that_is_locked_already_is_told_and_not_waited_for(users, running, on, monkeypatch):
    monkeypatch.setattr(traffic, "PATIENCE_AT_FIRST", "300ms")
    with running.connect(users.info.dbname, autocommit=False) as holder:
        holder.execute("LOCK TABLE users")
        with pytest.raises(UserError, match="canceling statement due to lock timeout. Another session holds that lock"):
            on(users, "users").__enter__()


def test_an_insert_that_needs_a_value_nobody_can_make_up_is_told(database, on):
    database.execute(
        "CREATE TABLE days (id serial PRIMARY KEY, day date UNIQUE); INSERT INTO days (day) SELECT now();"
        "CREATE TABLE ages (id serial PRIMARY KEY, age int UNIQUE CHECK (age > 0)); INSERT INTO ages (age) VALUES (1)"
    )
    with pytest.raises(
        UserError, match="A row of days can't be copied for an INSERT.*Write the INSERT into app/NAME.sql"
    ):
        on(database, "days", insert=True).__enter__()
    with pytest.raises(UserError, match="inserter 1.*violates check constraint"):
        on(database, "ages", insert=True).__enter__()


FILES = {
    "SELECT 1": "must introduce each statement with a line of its own: -- read, -- write or -- insert.",
    "": "must introduce each statement",
    "-- read\nSELECT :nr FROM users": "app/odd.sql, line 1: there is no value for :nr. The primary key of users gives :id.",
    "-- read\n\n-- write\nSELECT 1": "app/odd.sql, line 1: a statement is missing after this line.",
    "-- insert\nINSERT INTO users DEFAULT VALUES": "line 1: an insert must end in RETURNING id",
    "-- read\nSELEC 1": 'PostgreSQL refused the traffic (traffic odd reader 1): syntax error at or near "SELEC".',
    "-- read\nSELECT 1; SELECT 2": "cannot insert multiple commands into a prepared statement",
}


@pytest.mark.parametrize("text", FILES)
def test_an_application_that_is_written_wrongly_is_told(text, users, project, on):
    (project / "app" / "odd.sql").write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as refusal, on(users, "users", apps=["odd"], project=project):
        raise AssertionError("the body ran")
    assert FILES[text] in str(refusal.value)


# The picture


def felt(seconds=2.0, bands=(), samples=(), **more) -> Felt:
    """What an application could have felt."""
    sessions = {"traffic reader 1": ("read", None), "traffic writer 1": ("write", None)}
    calm = [Sample(n / 50, *_of(n), 0.3 + n % 7 / 10, None, None) for n in range(int(seconds * 50))]
    return Felt("users", sessions, 50, seconds, [*calm, *samples], list(bands), **more)


def _of(number: int) -> tuple:
    return ("traffic reader 1", "read", None) if number % 2 else ("traffic writer 1", "write", None)


LONG = "ALTER TABLE users ADD CONSTRAINT ck_users_age_is_a_number CHECK (age ~ '^[0-9]+$') NOT VALID"
BANDS = {
    "none": [],
    "at once": [Band(0.3 + n / 100, 1, f"{LONG} -- {n}"[n:], 0.5) for n in range(7)],
    "the whole time": [Band(0.05, 1900, LONG, 1.95, waited_ms=900)],
    "at both edges": [
        Band(0.0, 3, LONG, 0.1),
        Band(1.9, 90, "VACUUM", 1.99),
        Band(1.99, 5, LONG[6:], 2.0, failed=True),
    ],
    "in the middle": [Band(0.7, 500, LONG, 1.3)],
    "too many": [Band(n / 30, 20, f"UPDATE users SET a{n} = 0", n / 30 + 0.02) for n in range(50)],
    "a batch": [
        Band(n / 30, 20, f"UPDATE users SET a = 1 WHERE id BETWEEN {n} AND {n + 1}", n / 30 + 0.02) for n in range(50)
    ],
    "again and again": [
        Band(at, 150, "ALTER TABLE users ADD note text", at + 0.15, 145, at < 1.7) for at in (0.6, 0.9, 1.3, 1.75)
    ],
    "odd text": [Band(0.5, 10, "SELECT '$x_1$ \\frac é 中 %s'\n\t AS <b>", 0.51)],
}


@pytest.mark.parametrize("name", BANDS)
def test_labels_stay_in_the_picture_and_apart(name):
    """Half of a statement's text, or two over one another, is as good as none."""
    refused = [Sample(1.0, *_of(1), 3.0, "42703", "no such column"), Sample(1.2, *_of(2), 1500.0, "57014", "canceled")]
    with chart._style():
        figure = chart.draw(felt(bands=BANDS[name], samples=refused))
        figure.draw_without_rendering()
        texts = [text for axes in figure.axes for text in axes.texts] + figure.texts
        boxes = [text.get_window_extent() for text in texts]
        keys = [legend.get_window_extent() for legend in figure.legends]
    page = figure.bbox
    for text, box in zip(texts, boxes, strict=True):
        assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1, text.get_text()
        if text.get_family() == ["DejaVu Sans Mono"]:
            assert not text.get_text().strip().startswith("…"), "whose time it is, is what one asks first"
            assert box.width > 0.9 * chart.LETTER * len(text.get_text()) * figure.dpi, (
                "as it is written: a $ begins no formula"
            )
    for index, box in enumerate(boxes):
        for other in boxes[index + 1 :]:
            assert not box.shrunk(0.98, 0.7).overlaps(other.shrunk(0.98, 0.7))
    assert all(key.x1 <= page.x1 for key in keys)
    shown = " ".join(text.get_text() for text in texts)
    assert ("×50" in shown) == (name == "a batch")
    assert ("failed" in shown) == (name == "at both edges")
    assert ("4 tries, the last one went through" in shown) == (name == "again and again")
    assert ("waited 900 ms" in shown) == (name == "the whole time")
    assert any("and 42\nshorter" in tick.get_text() for tick in figure.axes[0].get_yticklabels()) == (
        name == "too many"
    )


def test_the_picture_in_words_differs_from_run_to_run_in_milliseconds_only(users, on):
    """Stored outputs are compared word by word; a number of another form would make a true notebook fail."""

    def words() -> str:
        with on(users, "users") as load:
            begun = time.monotonic()
            lock(users, "users", "ACCESS EXCLUSIVE", 0.1)
            own, failed = Statement("UPDATE alembic_version", 0.0, own=True), Failure("42P01", "no")
            statements = [
                own,
                Statement("ALTER TABLE users …", 0.0, 100.0),
                Statement("SELECT 1", 0.1, 0.2, error=failed),
            ]
            load.traces.append(
                Trace("upgrade", begun, transactions=[Transaction(0.0, "shop", ms=101.0, statements=statements)])
            )
        assert [band.sql for band in load.felt.bands] == ["ALTER TABLE users …", "SELECT 1"]
        assert abs(load.felt.bands[0].at - min(s.at for s in load.felt.samples if s.ms > 80)) < 0.08
        said = "\n".join([chart.alt(load.felt), *chart.caption(load.felt).values()])
        assert chart.alt(load.felt) in chart.caption(load.felt)["text/html"]
        return re.sub(r"\d[\d,]* ms", "N ms", said)

    first = words()
    assert words() == first
    assert first.startswith(
        "Chart of what 4 readers and 2 writers on users felt: reads took N ms at the median and N ms at worst, "
        "writes took N ms at the median and N ms at worst. No errors. "
        "Meanwhile the migration ran ALTER TABLE users … (N ms) and SELECT 1 (N ms)."
    )


def test_the_picture_is_saved_with_its_words(tmp_path):
    shown = felt(bands=BANDS["in the middle"], samples=[Sample(0.7, *_of(1), 600.0, None, None)])
    calm = tmp_path / "calm.png"
    for name in ("felt.png", "felt.svg"):
        chart.save(shown, tmp_path / name)
    chart.save(felt(), calm)
    with Image.open(tmp_path / "felt.png") as picture, Image.open(calm) as other:
        assert picture.info["Description"] == chart.alt(shown)
        assert picture.width == other.width > 800 and picture.height > other.height > 300
        grey = picture.convert("L")
        assert len(grey.getcolors(256)) > 20 and grey.getextrema()[0] < 80
    assert 10_000 < (tmp_path / "felt.png").stat().st_size < 60_000
    assert chart.alt(shown) in "".join(ET.parse(tmp_path / "felt.svg").getroot().itertext())
    with pytest.raises(UserError, match=r"end its name with .png or .svg"):
        chart.save(shown, tmp_path / "felt.pdf")


def test_the_picture_does_not_touch_the_notebooks_own_plots():
    """Learners plot too: a changed default or a figure that pyplot shows again would be ours to explain."""
    code = (
        "import sys, matplotlib; matplotlib.rcParams['font.size'] = 31; before = matplotlib.rcParams.copy()\n"
        "from migration_xray.traffic import chart; from migration_xray.traffic.felt import Felt\n"
        "chart.png(Felt('users', {'traffic reader 1': ('read', None)}, 50, 1.0, []))\n"
        "assert 'matplotlib.pyplot' not in sys.modules and matplotlib.rcParams.copy() == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# In a notebook


PHONE = '''"""Add phone"""
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "0004_phone", "0003_orders", None, None


def upgrade() -> None:
    op.add_column("users", sa.Column("phone", sa.String(20), server_default=""))
    op.execute("SELECT pg_sleep(0.4)")


def downgrade() -> None:
    op.drop_column("users", "phone")
'''


@pytest.fixture
def lesson(shell):
    assert shell("%lesson 00").error is None
    Path("migrations/versions/0004_phone.py").write_text(PHONE, encoding="utf-8")
    return shell


def test_a_cell_under_traffic_shows_the_migration_and_the_stall(lesson):
    ran = lesson("%%traffic users --insert\n%alembic upgrade head\nanswer = 41\nanswer + 1")
    assert ran.error is None
    assert ran.shown["text/html"].startswith('<img src="data:image/png;base64,')
    shown = last_traffic()
    assert [band.sql for band in shown.bands] == [
        "ALTER TABLE users ADD COLUMN phone VARCHAR(20) DEFAULT ''", "SELECT pg_sleep(0.4)"
    ]  # fmt: skip
    assert shown.worst_read_ms >= 350 and shown.worst_write_ms >= 350
    assert ran.shown["text/plain"] == chart.alt(shown) and f'alt="{escape(chart.alt(shown))}"' in ran.shown["text/html"]
    assert lesson("answer").value == 41, "the body's names are the notebook's"
    assert lesson("%%traffic users\nanswer + 1").error is None
    assert lesson("_").value == 42, "and its last value is shown"
    assert last_traffic() is not shown and last_traffic().bands == []


def test_a_failing_cell_under_traffic_shows_its_own_error_after_the_picture(lesson):
    """ "Run All" must stop there, and the person must see their mistake and not the lab's insides."""
    ran = lesson("%%traffic users\nopen('/no/such/file')")
    assert isinstance(ran.error, FileNotFoundError)
    assert "<img" in ran.shown["text/html"]
    assert "[Errno 2] No such file or directory: '/no/such/file'" in ran.text and "magics.py" not in ran.text
    ran = lesson("%%traffic users\n%alembic upgrade nowhere")
    assert isinstance(ran.error, UserError) and "Can't locate revision" in ran.text and "Traceback" not in ran.text
    assert "<img" in ran.shown["text/html"]


@pytest.mark.parametrize(
    "cell, said",
    [
        ("%%traffic usres\nran = True", "There is no table usres in this database. Did you mean users?"),
        ("%%traffic users\nran = = True", "SyntaxError: invalid syntax\n  in line 2 of the cell: ran = = True"),
    ],
)
def test_a_cell_that_cannot_have_traffic_does_not_run(cell, said, lesson):
    ran = lesson(cell)
    assert isinstance(ran.error, UserError) and ran.text == said and ran.shown == {}
    assert isinstance(lesson("ran").error, NameError)


def test_a_picture_that_says_the_same_stays_as_it_is_stored():
    """Else each refresh of the notebooks would store every picture anew, and nobody would look at the difference."""

    def notebook(png, words):
        data = {"text/html": image(png, words), "text/plain": words}
        picture = nbformat.v4.new_output("display_data", data, metadata={"width": 3})
        return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=[picture])])

    stored, same, other = (
        notebook(b"A chart", "No errors."),
        notebook(b"The same, later", "No errors."),
        notebook(b"The same, later", "Errors: 42703."),
    )
    keep_what_is_the_same(stored, same)
    keep_what_is_the_same(stored, other)
    assert same.cells[0].outputs == stored.cells[0].outputs
    assert stored.cells[0].outputs[0].metadata == {}
    assert 'alt="Errors: 42703."' in other.cells[0].outputs[0].data["text/html"], "what it says is compared"


def test_before_any_traffic_there_is_none_to_look_at(monkeypatch):
    monkeypatch.setattr(traffic, "_last", None)
    with pytest.raises(UserError, match="There was no traffic yet"):
        last_traffic()


def test_batches_are_one_bar_unless_one_waits_or_fails():
    """Two hundred edges hid the label; a batch that waited long for a lock, or failed, is what one looks for."""
    batches = [Band(n / 10, 99, f"UPDATE t SET a = 0 WHERE id > {n}", n / 10 + 0.099, waited_ms=5) for n in range(40)]
    whole = chart._joined(batches, 10.0)
    assert [(round(one.at, 3), round(one.end, 3)) for one in whole] == [(0.0, 3.999)]
    batches[10] = batches[10]._replace(waited_ms=110.0)
    batches[20] = batches[20]._replace(failed=True)
    batches[30] = batches[30]._replace(at=3.25)
    assert [round(one.at, 2) for one in chart._joined(batches, 10.0)] == [0.0, 1.0, 2.0, 2.1, 3.25]


@pytest.mark.parametrize(
    "outcomes, said",
    [
        ("+", "10 ms"),
        ("-", "10 ms, failed"),
        ("--+", "30 ms, 3 tries, the last one went through"),
        ("--", "×2 20 ms, all failed"),
        ("+-+", "×3 30 ms, 1 of them failed"),
        ("++", "×2 20 ms"),
    ],
)
def test_a_statement_that_went_through_in_the_end_is_not_called_failed(outcomes, said):
    """Lesson 10 tries an ALTER until it gets its lock. The chart called it "×2 failed", and the lesson is that it worked."""
    bands = [Band(at, 10, "ALTER TABLE t ADD n int", at + 0.01, failed=sign == "-") for at, sign in enumerate(outcomes)]
    assert chart.Row("ALTER TABLE t ADD n int", bands).remarks == said


def test_letters_can_be_read_on_white_and_on_a_band():
    """WCAG asks for a contrast of 4.5; Okabe and Ito's orange and green have less on any light ground."""
    for colour in (*chart.LETTERS.values(), chart.INK, chart.GREY):
        for paper in ("#FFFFFF", "#F6F6F6", "#EAEAEA"):
            light, dark = _luminance(paper), _luminance(colour)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (colour, paper)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(part * weight for part, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))
