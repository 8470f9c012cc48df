"""X-ray tells the truth: what each statement locks, rewrites, scans and builds, on the server that runs here.

Lessons, grades and people's own production rest on these words. Each row is a real migration; what is expected is what
PostgreSQL's documentation of ALTER TABLE and of locks says, and what pg_locks and the filenodes show by hand.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from tests.waiting import beside, committing
from tests.xray.stage import on_stage

from migration_xray.locks.modes import MODES
from migration_xray.reports import as_text
from migration_xray.trace import NOTEWORTHY, Lock

AX, SRX, SHARE, SUX = "AccessExclusiveLock", "ShareRowExclusiveLock", "ShareLock", "ShareUpdateExclusiveLock"
EXCLUSIVE, ROW_SHARE = "ExclusiveLock", "RowShareLock"

USERS = (
    "CREATE TABLE users (id int CONSTRAINT pk_users PRIMARY KEY, name varchar(100), age text, born timestamp)",
    "INSERT INTO users SELECT n, 'user ' || n, n, '2024-01-01' FROM generate_series(1, 200) n",
)
# What is to be seen by looking often has to take a few looks.
MANY = (*USERS, "INSERT INTO users SELECT n FROM generate_series(201, 50000) n", "UPDATE users SET age = id")
ORDERS = (
    *USERS,
    "CREATE TABLE orders (id int CONSTRAINT pk_orders PRIMARY KEY, user_id int NOT NULL)",
    "INSERT INTO orders SELECT n, n FROM generate_series(1, 200) n",
)
KEY = "ALTER TABLE orders ADD CONSTRAINT fk FOREIGN KEY (user_id) REFERENCES users"
CHECK = "ALTER TABLE users ADD CONSTRAINT named CHECK (name IS NOT NULL)"
INDEXED = (*USERS, "CREATE INDEX ix_users_name ON users (name)", "CREATE INDEX ix_users_born ON users (born)")
VIEWED = (
    *USERS,
    "CREATE MATERIALIZED VIEW totals AS SELECT id, name FROM users",
    "CREATE UNIQUE INDEX ux_totals ON totals (id)",
)
EVENTS = (
    *USERS,
    "CREATE TABLE events (id int, day date) PARTITION BY RANGE (day)",
    "CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')",
    "CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2024-02-01') TO ('2024-03-01')",
    "INSERT INTO events SELECT n, '2024-01-10' FROM generate_series(1, 50) n",
    "CREATE TABLE events_3 (id int, day date)",
    "INSERT INTO events_3 VALUES (1, '2024-03-05')",
)
ATTACH = "ALTER TABLE events ATTACH PARTITION events_3 FOR VALUES FROM ('2024-03-01') TO ('2024-04-01')"
IN_MARCH = "ALTER TABLE events_3 ADD CHECK (day IS NOT NULL AND day >= '2024-03-01' AND day < '2024-04-01')"
TRIGGER = "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
FUNCTION = (
    "CREATE FUNCTION fill() RETURNS void LANGUAGE plpgsql AS 'BEGIN ALTER TABLE users ALTER name SET NOT NULL; END'"
)


@dataclass
class Row:
    """A statement on these tables, and all that x-ray is to say of it.

    ``locks`` has each relation's strongest lock that is worth a word, and weaker ones where they are the point. Names are
    those of the schema public.
    """

    statement: str
    setup: tuple[str, ...] = USERS
    locks: dict[str, str] = field(default_factory=lambda: {"users": AX})
    rewrote: str = ""
    scanned: str = ""
    built: str = ""
    says: str = ""
    autocommit: bool = False
    needs: int = 15


def rewrite(statement: str, setup: tuple[str, ...] = USERS, built: str = "pk_users", **more) -> Row:
    return Row(statement, setup, rewrote="users", built=built, **more)


CONCURRENTLY = {"locks": {"users": SUX}, "autocommit": True}
ROWS = [
    # Adding a column
    Row("ALTER TABLE users ADD phone text"),
    Row("ALTER TABLE users ADD phone text NOT NULL DEFAULT ''"),
    Row("ALTER TABLE users ADD seen timestamptz DEFAULT now()"),
    rewrite("ALTER TABLE users ADD luck float DEFAULT random()"),
    rewrite("ALTER TABLE users ADD number int GENERATED ALWAYS AS IDENTITY"),
    rewrite("ALTER TABLE users ADD shout text GENERATED ALWAYS AS (upper(name)) STORED"),
    # Constraints
    Row("ALTER TABLE users ALTER name SET NOT NULL", scanned="users"),
    Row(
        "ALTER TABLE users ALTER name SET NOT NULL", (*USERS, CHECK), says='column "users.name" are sufficient to prove'
    ),
    Row("ALTER TABLE users ALTER name SET NOT NULL, DROP CONSTRAINT named", (*USERS, CHECK), scanned="users"),
    Row("ALTER TABLE users ADD CONSTRAINT named NOT NULL name NOT VALID", needs=18),
    Row(CHECK, scanned="users"),
    Row(f"{CHECK} NOT VALID"),
    Row("ALTER TABLE users VALIDATE CONSTRAINT named", (*USERS, f"{CHECK} NOT VALID"), {"users": SUX}, scanned="users"),
    Row(KEY, ORDERS, {"orders": SRX, "users": SRX}, scanned="orders users"),
    Row(f"{KEY} NOT VALID", ORDERS, {"orders": SRX, "users": SRX}),
    Row(
        "ALTER TABLE orders VALIDATE CONSTRAINT fk",
        (*ORDERS, f"{KEY} NOT VALID"),
        {"orders": SUX, "users": ROW_SHARE},
        scanned="orders users",
    ),
    Row("ALTER TABLE orders DROP CONSTRAINT fk", (*ORDERS, KEY), {"orders": AX, "users": AX}),
    Row(
        "CREATE TABLE carts (id int PRIMARY KEY, user_id int REFERENCES users)",
        locks={"users": SRX},
        built="carts_pkey",
    ),
    Row("DROP TABLE orders", (*ORDERS, KEY), {"orders": AX, "users": AX}),
    Row("ALTER TABLE users ADD CONSTRAINT ux UNIQUE (name)", built="ux"),
    Row(
        "ALTER TABLE users ADD CONSTRAINT ux UNIQUE USING INDEX u",
        (*USERS, "CREATE UNIQUE INDEX u ON users (name)"),
        says="rename",
    ),
    # Indexes and triggers
    Row("CREATE INDEX ix ON users (name)", locks={"users": SHARE}, built="ix"),
    Row("CREATE INDEX CONCURRENTLY ix ON users (name)", **CONCURRENTLY, built="ix"),
    Row("DROP INDEX ix_users_name", INDEXED),
    Row("DROP INDEX CONCURRENTLY ix_users_name", INDEXED, **CONCURRENTLY),
    Row("REINDEX INDEX ix_users_name", INDEXED, {"ix_users_name": AX, "users": SHARE}, built="ix_users_name"),
    Row("REINDEX INDEX CONCURRENTLY ix_users_name", INDEXED, **CONCURRENTLY, built="ix_users_name"),
    Row("REINDEX TABLE CONCURRENTLY users", INDEXED, **CONCURRENTLY, built="ix_users_born ix_users_name pk_users"),
    Row("ALTER INDEX ix_users_name RENAME TO ix", INDEXED, {"ix_users_name": SUX}),
    Row(
        "CREATE TRIGGER touch BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch()",
        (*USERS, TRIGGER),
        {"users": SRX},
    ),
    # Types
    Row("ALTER TABLE users ALTER name TYPE varchar(200)"),
    Row("ALTER TABLE users ALTER name TYPE text"),
    rewrite("ALTER TABLE users ALTER name TYPE varchar(90)"),
    rewrite("ALTER TABLE users ALTER id TYPE bigint"),
    rewrite("ALTER TABLE users ALTER age TYPE int USING age::int"),
    Row("SET LOCAL timezone = 'UTC'; ALTER TABLE users ALTER born TYPE timestamptz", INDEXED, built="ix_users_born"),
    rewrite(
        "SET LOCAL timezone = 'UTC'; ALTER TABLE users ALTER born TYPE timestamptz USING born AT TIME ZONE 'UTC'",
        INDEXED,
        "ix_users_born ix_users_name pk_users",
    ),
    # New files: PostgreSQL says nothing of these but that it builds the indexes
    Row("TRUNCATE users", built="pk_users"),
    rewrite("CLUSTER users USING pk_users"),
    rewrite("CLUSTER users USING pk_users", MANY, autocommit=True),
    rewrite("VACUUM FULL users", MANY, autocommit=True),
    rewrite("ALTER TABLE users SET UNLOGGED"),
    Row("VACUUM users", MANY, **CONCURRENTLY),
    Row("REFRESH MATERIALIZED VIEW totals", VIEWED, {"totals": AX}, rewrote="totals", built="ux_totals"),
    Row("REFRESH MATERIALIZED VIEW CONCURRENTLY totals", VIEWED, {"totals": EXCLUSIVE}),
    # Partitions
    Row(ATTACH, EVENTS, {"events": SUX, "events_3": AX}, scanned="events_3"),
    Row(
        ATTACH, (*EVENTS, IN_MARCH), {"events": SUX, "events_3": AX}, says='constraint for table "events_3" is implied'
    ),
    Row("ALTER TABLE events DETACH PARTITION events_1", EVENTS, {"events": AX, "events_1": AX}),
    Row(
        "ALTER TABLE events DETACH PARTITION events_1 CONCURRENTLY",
        EVENTS,
        {"events": SUX, "events_1": AX},
        autocommit=True,
    ),
    Row(
        "ALTER TABLE events ADD CHECK (id > 0)",
        EVENTS,
        {"events": AX, "events_1": AX, "events_2": AX},
        scanned="events_1 events_2",
    ),
    Row(
        "ALTER TABLE events ADD CONSTRAINT fk FOREIGN KEY (id) REFERENCES users",
        EVENTS,
        {"events": SRX, "events_1": SRX, "events_2": SRX, "users": SRX},
        scanned="events_1 events_2 users",
    ),
    Row(
        "CREATE INDEX ix_events ON events (id)",
        EVENTS,
        {"events": SHARE, "events_1": SHARE, "events_2": SHARE},
        built="events_1_id_idx events_2_id_idx",
    ),
    # Out of sight of whoever reads the migration
    Row("SELECT fill()", (*USERS, FUNCTION), scanned="users"),
    rewrite("DO $$ BEGIN EXECUTE 'ALTER TABLE users ALTER id TYPE bigint'; END $$"),
    # Nothing to tell of
    Row("UPDATE users SET age = '1'", locks={}),
    Row("SELECT count(*) FROM users", locks={}),
    Row("CREATE TABLE copied AS SELECT * FROM users", locks={}),
]


@pytest.fixture(scope="module")
def stage(running, tmp_path_factory):
    with on_stage(running, tmp_path_factory.mktemp("truth")) as stage:
        yield stage


def names(relations: list[str]) -> set[str]:
    return {name.removeprefix("public.") for name in relations}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.statement[:60])
def test_what_a_statement_does(stage, row):
    """One wrong word here, and a lesson teaches what isn't so.

    What autocommit lets go before it returns is seen by looking often. On a busy machine a look may come too late: then
    the statement is tried again. But nothing may ever be seen that is not so.
    """
    if stage.session.info.server_version < row.needs * 10000:
        pytest.skip(f"PostgreSQL {row.needs} has it first")
    expected = {f"public.{relation}": mode for relation, mode in row.locks.items()}
    worth_a_word = {relation: mode for relation, mode in expected.items() if mode != ROW_SHARE}
    for _ in range(40 if row.autocommit else 1):
        trace = run(stage, row)
        (statement,) = trace.statements
        (transaction,) = [one for one in trace.transactions if statement in one.statements]
        held = {one.relation: one for one in transaction.held if one.rank >= NOTEWORTHY}
        modes = {relation: one.mode for relation, one in held.items()}
        if modes == worth_a_word and names(statement.rewrote) == set(row.rewrote.split()):
            break
        assert row.autocommit, (held, statement.rewrote)
        assert all(one.rank <= MODES[worth_a_word[relation]].rank for relation, one in held.items()), held
    else:
        raise AssertionError(f"never seen in forty runs; in the last one only {held}")
    assert {Lock(relation, mode) for relation, mode in expected.items()} <= set(statement.locks)
    assert names(statement.scanned) == set(row.scanned.split())
    assert names(statement.built) == set(row.built.split())
    assert row.says in "\n".join(statement.says)
    assert transaction.autocommit == row.autocommit


def run(stage, row: Row):
    stage.reset(*row.setup)
    body = f"op.execute(sa.text({row.statement!r}))"
    return stage.upgrade(f"with op.get_context().autocommit_block():\n    {body}" if row.autocommit else body)


# How long, and who waited


CHANGING = """
SELECT 1 FROM pg_locks WHERE relation = 'users'::regclass AND mode = ANY ('{AccessExclusiveLock,RowExclusiveLock}')
"""


@contextmanager
def another_session(stage, *statements, seconds: float):
    """A session that has done this in a transaction when the body begins; it commits so many seconds after a wait began."""
    connect, database = stage.server.connect, stage.database
    with connect(database, autocommit=False) as session, connect(database) as look:
        for statement in statements:
            session.execute(statement)
        with committing(session, look, seconds):
            yield


@contextmanager
def waiting_for(stage, *queries):
    """Sessions that send these queries, each once a migration changes users or waits to: each will have to wait."""
    done = threading.Event()

    def send(query):
        with stage.server.connect(stage.database) as session:
            session.execute("SET statement_timeout = '20s'")
            while not done.wait(0.02) and not session.execute(CHANGING).fetchone():
                pass
            session.execute(query)

    with beside(*(threading.Thread(target=send, args=[query]) for query in queries), ends=done):
        yield


def only(things):
    (thing,) = things
    return thing


def test_a_lock_is_held_until_the_commit(stage):
    """The statement takes a millisecond, and what stalls the application is what the migration does after it."""
    stage.reset(*USERS)
    trace = stage.upgrade("op.execute('ALTER TABLE users ADD phone text')\ntime.sleep(0.4)")
    held, statement = trace.strongest("users"), only(trace.statements)
    assert held.ms >= 400
    assert statement.ms < held.ms <= only(trace.transactions).ms


def test_a_lock_is_held_from_when_it_was_had(stage):
    """While ALTER waits for a reader it has nothing yet; counting that in would blame the lock for the wait."""
    stage.reset(*USERS)
    with another_session(stage, "SELECT 1 FROM users", seconds=0.8):
        trace = stage.upgrade("op.execute('ALTER TABLE users ADD phone text')")
    held, statement = trace.strongest("users"), only(trace.statements)
    assert statement.ms >= statement.lock_wait_ms >= 500
    assert held.ms + statement.lock_wait_ms < only(trace.transactions).ms + 400
    assert "waited for locks of others" in as_text(trace)


def test_who_waited_for_a_lock(stage):
    """A lock that nobody waits for is harmless; this is the line that says whether it was."""
    stage.reset(*USERS)
    with waiting_for(stage, "SELECT 1 FROM users", "SELECT 1 FROM users", "INSERT INTO users VALUES (1000)"):
        trace = stage.upgrade("op.execute('ALTER TABLE users ADD phone text')\ntime.sleep(0.8)")
    waited = only(only(trace.transactions).waited)
    assert (waited.relation, waited.sessions) == ("public.users", 3)
    assert 200 < waited.ms < trace.strongest("users").ms
    assert "; 3 sessions waited, up to" in as_text(trace)


def test_who_waited_for_rows(stage):
    """A backfill takes no lock worth a word on its table, yet holds up whoever writes the same rows."""
    stage.reset(*USERS)
    with waiting_for(stage, "UPDATE users SET age = '2' WHERE id = 7"):
        trace = stage.upgrade("op.execute(\"UPDATE users SET age = '1'\")\ntime.sleep(0.8)")
    waited = only(only(trace.transactions).waited)
    assert (waited.relation, waited.sessions) == ("public.users", 1)
    assert waited.ms > 200
    assert "… 1 session waited for users, up to" in as_text(trace)


def test_who_waited_behind_a_lock_that_was_never_had(stage):
    """The lock queue: ALTER gives up at its lock_timeout, and all the while readers stood behind it."""
    stage.reset(*USERS)
    with another_session(stage, "SELECT 1 FROM users", seconds=60), waiting_for(stage, "SELECT 1 FROM users"):
        trace = stage.execute("SET lock_timeout = '700ms'", "ALTER TABLE users ADD phone text", fails=True)
    assert trace.strongest("users") is None
    assert trace.statements[-1].error.sqlstate == trace.sqlstate == "55P03"
    assert trace.statements[-1].lock_wait_ms > 400
    waited = only(trace.transactions[-1].waited)
    assert (waited.relation, waited.sessions) == ("public.users", 1)
    assert "… 1 session waited for users, up to" in as_text(trace)


def test_an_open_writer_holds_up_a_concurrent_index(stage):
    """CONCURRENTLY lets others work, and so waits for them: the phase tells what a stuck migration is waiting for."""
    stage.reset(*USERS)
    with another_session(stage, "INSERT INTO users VALUES (1000)", seconds=0.6):
        trace = stage.upgrade(
            "with op.get_context().autocommit_block():\n    op.execute('CREATE INDEX CONCURRENTLY ix ON users (name)')"
        )
    statement = only(trace.statements)
    phases = {phase.name: phase.ms for phase in statement.phases}
    assert phases["waiting for writers before build"] > 300
    assert statement.lock_wait_ms > 300
    assert trace.strongest("users").mode == SUX
    assert "… waiting for writers before build: " in as_text(trace)


def test_an_index_that_waits_is_not_told_of_idle_readers(stage):
    """An idle READ COMMITTED reader holds up no concurrent index; x-ray's own looks must not either."""
    stage.reset(*USERS)
    with another_session(stage, "SELECT 1 FROM users", seconds=0):
        trace = stage.upgrade(
            "with op.get_context().autocommit_block():\n    op.execute('CREATE INDEX CONCURRENTLY ix ON users (name)')"
        )
    assert not [phase for phase in only(trace.statements).phases if phase.name.startswith("waiting") and phase.ms > 100]


# Which locks, and on what


def test_a_savepoint_lets_go(stage):
    """ROLLBACK TO SAVEPOINT gives back what was locked after it: from then on nobody waits for it."""
    stage.reset(*ORDERS)
    trace = stage.upgrade("""
        nested = op.get_bind().begin_nested()
        op.execute("ALTER TABLE users ADD phone text")
        nested.rollback()
        op.execute("ALTER TABLE orders ADD note text")
        time.sleep(0.4)
        op.execute("LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
        """)
    assert trace.strongest("orders").ms >= 400
    assert trace.strongest("users").ms < 400
    first, last = (one for one in trace.statements if Lock("public.users", AX) in one.locks)
    assert (first.sql[:5], last.sql[:4]) == ("ALTER", "LOCK")


def test_nobody_waits_for_what_is_new(stage):
    """A table that others can't see yet is locked most strongly; a warning about it would be a false alarm."""
    stage.reset()
    trace = stage.execute(
        "CREATE TABLE users (id int PRIMARY KEY, name text)",
        "INSERT INTO users SELECT n FROM generate_series(1, 100) n",
        "CREATE INDEX ix ON users (name)",
        "ALTER TABLE users ADD luck float DEFAULT random()",
    )
    assert [held for held in trace.held if held.relation != "public.alembic_version"] == []
    assert [one.locks for one in trace.statements] == [[], [], [], []]
    assert trace.statements[3].rewrote == ["public.users"]
    assert trace.statements[2].built == ["public.ix"]


def test_tables_of_one_name_in_two_schemas(stage):
    """PostgreSQL's messages give no schema; the locks tell which table is meant, and where they don't, nothing is guessed."""
    stage.reset(*USERS, "CREATE SCHEMA audit", "CREATE TABLE audit.users AS SELECT * FROM users")
    change = "ALTER TABLE {}users ALTER id TYPE {}"
    trace = stage.execute(
        change.format("audit.", "bigint"), change.format("", "bigint"), change.format("audit.", "int")
    )
    assert [one.rewrote for one in trace.statements] == [["audit.users"], ["public.users"], ["users"]]
    assert trace.strongest("audit.users").mode == trace.strongest("users").mode == AX


def test_what_statements_before_have_changed(stage):
    """In autocommit each statement is a transaction, and the next one finds what it made: tables, names, files."""
    body = """
        with op.get_context().autocommit_block():
            op.execute("DO 'BEGIN ALTER TABLE users RENAME TO people; PERFORM pg_sleep(0.05); END'")  # long enough to see
            op.execute("CREATE TABLE pets AS SELECT generate_series(1, 20000) AS id")
            op.execute("VACUUM FULL people")
            op.execute("CREATE INDEX CONCURRENTLY ix ON pets (id)")
        """
    expected = [{"public.users": AX}, {}, {"public.people": AX}, {"public.pets": SUX}]
    many = "INSERT INTO users SELECT n FROM generate_series(201, 50000) n"
    for _ in range(10):  # on a busy machine a look may come too late
        stage.reset(*USERS, many)
        trace = stage.upgrade(body)
        locks = [{held.relation: held.mode for held in one.held} for one in trace.transactions if one.autocommit]
        if locks == expected:
            break
    assert locks == expected
    assert [one.rewrote for one in trace.statements] == [[], [], ["public.people"], []]


def test_names_that_need_quotes(stage):
    stage.reset(
        'CREATE SCHEMA "Größe"', 'CREATE TABLE "Größe"."Maß ""x""" (id int PRIMARY KEY)', 'CREATE TABLE "a.b" (id int)'
    )
    trace = stage.execute(
        'ALTER TABLE "Größe"."Maß ""x""" ALTER id TYPE bigint', 'ALTER TABLE "a.b" ALTER id SET NOT NULL'
    )
    first, second = trace.statements
    assert first.rewrote == ['Größe.Maß "x"']
    assert first.built == ['Größe.Maß "x"_pkey']
    assert first.locks[0] == Lock('Größe.Maß "x"', AX)
    assert second.scanned == ["public.a.b"]


def test_a_table_goes_by_the_name_that_others_know(stage):
    """Whoever waits for a table in the middle of its renaming knows it by the old name."""
    stage.reset(*USERS)
    trace = stage.execute(
        "ALTER TABLE users ALTER name SET NOT NULL",
        "ALTER TABLE users RENAME TO people",
        "ALTER TABLE people ALTER id TYPE bigint",
    )
    assert trace.strongest("users").mode == AX
    assert trace.statements[0].scanned == ["public.users"]
    assert trace.statements[2].rewrote == ["public.users"]


def test_an_emptied_table_was_not_rewritten(stage):
    """TRUNCATE begins a new file as a rewrite does, and after an INSERT it is not even empty."""
    stage.reset(*ORDERS)
    trace = stage.execute(
        "TRUNCATE orders",
        "INSERT INTO orders VALUES (1, 1)",
        "CREATE TEMP TABLE t (id int)",
        "CLUSTER users USING pk_users",
    )
    assert [one.rewrote for one in trace.statements] == [[], [], [], ["public.users"]]


def test_a_table_that_moves_to_another_tablespace_is_rewritten(stage):
    """SET TABLESPACE copies every page under the strongest lock, and PostgreSQL does not say so."""
    stage.reset(*USERS)
    with stage.server.connect() as session:
        if not session.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()[0]:
            pytest.skip("needs the right to make a tablespace")
        session.execute("SET allow_in_place_tablespaces = on")
        session.execute(f"CREATE TABLESPACE {stage.database} LOCATION ''")
        try:
            trace = stage.execute(f"ALTER TABLE users SET TABLESPACE {stage.database}")
            stage.session.execute("DROP TABLE users")
        finally:
            session.execute(f"DROP TABLESPACE {stage.database}")
    assert only(trace.statements).rewrote == ["public.users"]


def test_a_key_of_the_same_name_elsewhere(stage):
    """Constraints' names are unique for a table only: the tables are those of the key that was validated."""
    stage.reset(
        *ORDERS,
        "CREATE TABLE carts (user_id int)",
        "ALTER TABLE carts ADD CONSTRAINT fk FOREIGN KEY (user_id) REFERENCES users",
    )
    trace = stage.execute("ALTER TABLE carts ADD note text", KEY)
    assert trace.statements[1].scanned == ["public.orders", "public.users"]


def test_set_role_changes_nothing(stage):
    """Owners are often taken on in the migration; the session stays the one that is watched."""
    role = f"{stage.database}_owner"
    stage.reset(*USERS, f"CREATE ROLE {role}", f"ALTER TABLE users OWNER TO {role}")
    try:
        trace = stage.execute(f"SET ROLE {role}", "ALTER TABLE users ALTER name SET NOT NULL", "RESET ROLE")
    finally:
        stage.session.execute(f"REASSIGN OWNED BY {role} TO current_user; DROP OWNED BY {role}; DROP ROLE {role}")
    assert trace.statements[1].scanned == ["public.users"]
    assert trace.strongest("users").mode == AX


def test_figures(stage):
    """Rows are what the driver counted, WAL what the server wrote, and each statement stands where the migration has it."""
    stage.reset(*USERS, "INSERT INTO users SELECT n, repeat('x', 90) FROM generate_series(1000, 20000) n")
    trace = stage.upgrade(
        'op.execute("ALTER TABLE users ALTER id TYPE bigint")\n\nop.execute("UPDATE users SET age = 1 WHERE id < 11")'
    )
    rewrite, update = trace.statements
    assert rewrite.rows is None
    assert rewrite.wal_bytes > 1_500_000
    assert update.rows == 10
    assert (rewrite.revision, rewrite.where, update.where) == ("0001", "0001.py:11", "0001.py:13")
    assert all(0 <= one.at <= two.at for one, two in zip(trace.statements, trace.statements[1:], strict=False))


def test_only_the_migrations_own_statements_are_told(stage):
    """X-ray asks the server a hundred things of its own; in the report they would be noise, or worse, believed."""
    stage.reset(*USERS)
    trace = stage.execute("ALTER TABLE users ADD phone text", "SELECT 1")
    assert [one.sql for one in trace.statements] == ["ALTER TABLE users ADD phone text", "SELECT 1"]
    everything = [one.sql for transaction in trace.transactions for one in transaction.statements]
    assert not [sql for sql in everything if "client_min_messages" in sql or "pg_locks" in sql]
