"""Who holds what and who waits for whom, as the server has it: real sessions in real queues.

A tree that named the wrong one would send a learner to end a transaction that nobody waits for.
"""

from __future__ import annotations

import itertools
import queue
import re
import threading
import time
from contextlib import ExitStack, suppress

import psycopg
import pytest

from migration_lab.cli import main
from migration_lab.course.manifest import find_lesson
from migration_lab.learner import open_place
from migration_xray.locks.modes import MODES
from migration_xray.locks.tree import NOBODY, Backend, LockTree, Wait, in_names, lock_tree

SPELLED = {name: re.sub(r"(?<!^)(?=[A-Z])", " ", name.removesuffix("Lock")).upper() for name in MODES}


class Stage:
    """A database with a table of users, and named sessions in it; ``send`` leaves a statement waiting."""

    def __init__(self, server, session, cleanup: ExitStack):
        self.server, self.session, self.cleanup = server, session, cleanup
        self.threads: list[threading.Thread] = []
        self.errors: queue.Queue[psycopg.Error] = queue.Queue()
        session.execute("CREATE TABLE users (id int PRIMARY KEY, email text)")
        session.execute("INSERT INTO users SELECT i, 'user' || i FROM generate_series(1, 9) i")

    def connect(self, name: str, **options) -> psycopg.Connection:
        database = self.session.info.dbname
        connection = self.server.connect(database, application_name=name, **options)
        self.cleanup.callback(connection.close)
        return connection

    def send(self, connection: psycopg.Connection, statement: str) -> None:
        """Send a statement that will wait, and return once it does."""

        def run():
            try:
                connection.execute(statement)
            except psycopg.Error as error:
                self.errors.put(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self.threads.append(thread)
        until = time.monotonic() + 30
        # At its very beginning the server does not say yet since when.
        while (wait := lock_tree(self.session).wait_of(connection.info.backend_pid)) is None or wait.ms is None:
            assert time.monotonic() < until and thread.is_alive(), f"{statement} does not wait"
            time.sleep(0.01)

    def tree(self) -> str:
        return without_times(lock_tree(self.session))


def without_times(tree: LockTree) -> str:
    return re.sub(r"\d[\d,]* ms", "N ms", str(tree))


@pytest.fixture
def stage(running, database):
    with ExitStack() as cleanup:
        stage = Stage(running, database, cleanup)
        yield stage
    for thread in stage.threads:
        thread.join(30)


def test_the_modes_conflict_as_the_server_has_it(stage):
    """The tree says who *holds* a lock in the way and who only stands in the queue by this table."""
    one, two = stage.connect("one"), stage.connect("two")
    for held, wanted in itertools.product(MODES.values(), repeat=2):
        with one.transaction(), two.transaction(force_rollback=True):
            one.execute(f"LOCK TABLE users IN {SPELLED[held.name]} MODE")
            try:
                two.execute(f"LOCK TABLE users IN {SPELLED[wanted.name]} MODE NOWAIT")
                conflicts = False
            except psycopg.errors.LockNotAvailable:
                conflicts = True
        assert held.conflicts(wanted) == wanted.conflicts(held) == conflicts, (held, wanted)


def test_nobody_is_said_where_nobody_holds_or_waits(stage):
    stage.connect("idle").execute("SELECT * FROM users")
    assert stage.tree() == NOBODY
    assert NOBODY in lock_tree(stage.session)._repr_html_()


def test_a_lock_queue(stage):
    """The scene of lesson 10: a reader waits behind an ALTER that waits for a transaction that does nothing."""
    alice, alembic, bob = stage.connect("alice"), stage.connect("alembic"), stage.connect("bob")
    alice.execute("BEGIN")
    alice.execute("SELECT count(*)\n  FROM users")
    stage.send(alembic, "ALTER TABLE users ADD COLUMN nickname text")
    stage.send(bob, "SELECT email FROM users WHERE id = 1")
    assert stage.tree() == (
        "alice: idle in transaction, for N ms\n"
        "│ SELECT count(*) FROM users\n"
        "│ holds AccessShareLock on users (blocks nothing but schema changes)\n"
        "└─ alembic: waits for AccessExclusiveLock on users (blocks reads and writes), for N ms\n"
        "   │ ALTER TABLE users ADD COLUMN nickname text\n"
        "   │ alice holds AccessShareLock\n"
        "   └─ bob: waits for AccessShareLock on users, for N ms\n"
        "        SELECT email FROM users WHERE id = 1\n"
        "        alembic is before it in the queue"
    )
    alice.execute("COMMIT")
    for thread in stage.threads:
        thread.join(30)
    assert stage.tree() == NOBODY


def test_another_database_is_none_of_ours(stage, running):
    """On a server that several learners share, each saw in their own tree whoever kept another one waiting."""
    alice, bob = stage.connect("alice"), stage.connect("bob")
    alice.execute("BEGIN")
    alice.execute("LOCK TABLE users")
    stage.send(bob, "SELECT FROM users")
    with running.connect() as elsewhere:
        assert str(lock_tree(elsewhere)) == NOBODY
    alice.execute("ROLLBACK")


def test_a_session_that_waits_for_several_stands_below_the_last_of_them(stage):
    """Three holders, and two changes behind them: the second change is served after the first."""
    for name in ("carol", "dave", "alice"):
        session = stage.connect(name)
        session.execute("BEGIN")
        session.execute("SELECT FROM users" if name != "dave" else "DELETE FROM users WHERE id = 9")
    stage.send(stage.connect("first"), "ALTER TABLE users ADD a int")
    stage.send(stage.connect("second"), "ALTER TABLE users ADD b int")
    tree = lock_tree(stage.session)
    (first,) = [one for one in tree.backends.values() if one.name == "first"]
    assert first.wait.because == "dave holds RowExclusiveLock; alice and carol hold AccessShareLock"
    (second,) = tree.below(first.pid)
    assert second.wait.because.endswith("alice and carol hold AccessShareLock; first is before it in the queue")
    assert [one.name for one in tree.below(None)] == ["carol", "dave", "alice"]
    assert tree.parents[first.pid] == tree.below(None)[0].pid, "the server has blockers in no order; the tree has one"


def test_one_that_waits_for_a_stronger_lock_than_it_holds_is_not_taken_for_a_holder(stage):
    """It holds AccessShareLock, with which a SELECT gets along; what stops the SELECT is the lock that it waits for."""
    alice, bob, carol = stage.connect("alice"), stage.connect("bob"), stage.connect("carol")
    for session in (alice, bob):
        session.execute("BEGIN")
        session.execute("SELECT FROM users")
    stage.send(bob, "ALTER TABLE users ADD a int")
    stage.send(carol, "SELECT FROM users")
    (waiting,) = lock_tree(stage.session).below(bob.info.backend_pid)
    assert waiting.wait.because == "bob is before it in the queue"


def test_rows(stage):
    """Row locks are in no catalog: pg_locks tells of a transaction's number, which nobody can read."""
    alice, bob, carol, dave = map(stage.connect, ("alice", "bob", "carol", "dave"))
    alice.execute("BEGIN")
    alice.execute("UPDATE users SET email = 'a' WHERE id = 5")
    stage.send(bob, "UPDATE users SET email = 'b' WHERE id = 5")
    stage.send(carol, "UPDATE users SET email = 'c' WHERE id = 5")
    alice.execute("INSERT INTO users VALUES (10)")
    stage.send(dave, "INSERT INTO users VALUES (10)")
    assert stage.tree() == (
        "alice: idle in transaction, for N ms\n"
        "│ INSERT INTO users VALUES (10)\n"
        "│ holds RowExclusiveLock on users (blocks nothing but schema changes)\n"
        "├─ bob: waits for alice to end its transaction (a row of users), for N ms\n"
        "│  │ UPDATE users SET email = 'b' WHERE id = 5\n"
        "│  │ holds RowExclusiveLock on users (blocks nothing but schema changes)\n"
        "│  └─ carol: waits for a row of users, for N ms\n"
        "│       UPDATE users SET email = 'c' WHERE id = 5\n"
        "│       bob is before it in the queue\n"
        "│       holds RowExclusiveLock on users (blocks nothing but schema changes)\n"
        "└─ dave: waits for alice to end its transaction, for N ms\n"
        "     INSERT INTO users VALUES (10)\n"
        "     holds RowExclusiveLock on users (blocks nothing but schema changes)"
    )


def test_an_index_that_is_built_concurrently_waits_for_older_transactions(stage):
    """Lesson 13: it waits although nobody holds a lock that it conflicts with."""
    alice = stage.connect("alice")
    alice.execute("BEGIN")
    alice.execute("UPDATE users SET email = 'a' WHERE id = 5")
    stage.send(stage.connect("alembic"), "CREATE INDEX CONCURRENTLY ix_users_email ON users (email)")
    (alembic,) = lock_tree(stage.session).below(alice.info.backend_pid)
    assert str(alembic.wait) == "waits for alice to end its transaction"
    assert [str(lock) for lock in alembic.holds] == ["ShareUpdateExclusiveLock on users (blocks other schema changes)"]


def test_a_deadlock_of_rows_is_drawn_and_told_in_names(stage):
    """For a second they wait in a circle, which has no first; and PostgreSQL's sentence about it is full of numbers."""
    alice, bob = stage.connect("alice"), stage.connect("bob")
    for session, row in ((alice, 1), (bob, 2)):
        with suppress(psycopg.errors.InsufficientPrivilege):
            session.execute("SET deadlock_timeout = '1500ms'")
        session.execute("BEGIN")
        session.execute("UPDATE users SET email = 'x' WHERE id = %s", [row])
    stage.send(alice, "DELETE FROM users WHERE id = 2")
    stage.send(bob, "DELETE FROM users WHERE id = 1")
    assert sorted(re.findall(r"(\w+): waits for", stage.tree())) == ["alice", "bob"]
    error = stage.errors.get(timeout=30)
    assert sorted(in_names(error.diag.message_detail, stage.session).splitlines()) == [
        "alice waits for ShareLock on a transaction; blocked by bob.",
        "bob waits for ShareLock on a transaction; blocked by alice.",
    ]


def test_a_deadlock_of_tables_is_told_in_names(stage):
    alice, bob = stage.connect("alice"), stage.connect("bob")
    for session in (alice, bob):
        session.execute("BEGIN")
        session.execute("SELECT FROM users")
    stage.send(alice, "DROP TABLE users")
    with pytest.raises(psycopg.errors.DeadlockDetected) as error:
        bob.execute("ALTER TABLE users ADD a int")
    assert in_names(error.value.diag.message_detail, stage.session).splitlines() == [
        "bob waits for AccessExclusiveLock on users; blocked by alice.",
        "alice waits for AccessExclusiveLock on users; blocked by bob.",
    ]


def test_indexes_are_told_only_where_their_table_does_not_say_it_all(stage):
    """Each query locks every index of its tables; a page of those would hide the one lock that matters."""
    alice = stage.connect("alice")
    for statement, held in {
        "SELECT * FROM users WHERE id = 1": ["AccessShareLock on users"],
        "CREATE INDEX ix_users_email ON users (email)": ["ShareLock on users"],
        "REINDEX INDEX users_pkey": ["AccessExclusiveLock on users_pkey", "ShareLock on users"],
        "ALTER TABLE users DROP CONSTRAINT users_pkey": ["AccessExclusiveLock on users"],
        "CREATE TABLE new (id int PRIMARY KEY)": [],
        "ANALYZE users": ["ShareUpdateExclusiveLock on users"],
        "LOCK TABLE pg_class IN ACCESS SHARE MODE": [],
    }.items():
        with alice.transaction(force_rollback=True):
            alice.execute(statement)
            backends = lock_tree(stage.session).backends.values()
            told = [f"{lock.mode} on {lock.on}" for backend in backends for lock in backend.holds]
        assert told == held, statement


def test_advisory_locks(stage):
    """Two runners of migrations take turns by one, and the second seems to hang."""
    one, two = stage.connect("one"), stage.connect("two")
    one.execute("SELECT pg_advisory_lock(-42)")
    one.execute("SELECT pg_advisory_lock_shared(1, 7)")
    stage.send(two, "SELECT pg_advisory_lock(-42)")
    assert stage.tree() == (
        "one: idle, for N ms\n"
        "│ SELECT pg_advisory_lock_shared(1, 7)\n"
        "│ holds ShareLock on advisory lock (1, 7)\n"
        "│ holds ExclusiveLock on advisory lock -42\n"
        "└─ two: waits for ExclusiveLock on advisory lock -42, for N ms\n"
        "     SELECT pg_advisory_lock(-42)\n"
        "     one holds ExclusiveLock"
    )


def test_names(stage, running):
    """Two of a name are told apart, one without a name goes by its pid, and other databases are none of ours."""
    first, second, nameless, lab = (stage.connect(name) for name in ("psql", "psql", "", "migration-lab"))
    stage.cleanup.enter_context(running.connect(application_name="psql"))
    for session in (first, second, nameless, lab):
        session.execute("BEGIN")
        session.execute("LOCK TABLE users IN ROW SHARE MODE")
    tree = lock_tree(stage.session)
    assert [one.name for one in tree.backends.values()] == ["psql", "psql 2", f"pid {nameless.info.backend_pid}"]
    stage.send(stage.connect("a<b>"), "ALTER TABLE users ADD a int")
    tree = lock_tree(stage.session)
    (waiting,) = [one for one in tree.backends.values() if one.wait]
    assert "migration-lab" in waiting.wait.because, "the lab's own session is told of where it is in the way"
    assert "<b>a&lt;b&gt;</b>" in tree._repr_html_()


def test_another_schema_and_a_long_statement(stage):
    alice = stage.connect("alice")
    stage.session.execute('CREATE SCHEMA audit; CREATE TABLE audit."Log" (id int)')
    alice.execute("BEGIN")
    alice.execute("SELECT /* " + "long " * 100 + '*/ FROM audit."Log"')
    (backend,) = lock_tree(stage.session).backends.values()
    assert str(backend.holds[0]).startswith('AccessShareLock on audit."Log"')
    assert len(backend.statement) == 100 and backend.statement.endswith(" …")


@pytest.fixture
def ordinary(stage):
    """A session of a role that may read the table and no more."""
    role = f"reader_of_{stage.session.info.dbname}"
    try:
        stage.session.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
    except psycopg.errors.InsufficientPrivilege:
        pytest.skip("needs the right to make a role")
    stage.session.execute(f"GRANT SELECT ON users TO {role}")
    database = stage.session.info.dbname
    with stage.server.connect(database, application_name="reader", user=role, password="secret") as session:
        yield session
    stage.session.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_an_ordinary_role_sees_who_and_what_but_not_the_statements(stage, ordinary):
    """Of other roles' sessions pg_stat_activity hides state and statement: "?", and never a guess."""
    alice = stage.connect("alice")
    alice.execute("BEGIN")
    alice.execute("SELECT FROM users")
    stage.send(stage.connect("alembic"), "ALTER TABLE users ADD a int")
    assert without_times(lock_tree(ordinary)) == (
        "alice: ?\n"
        "│ ?\n"
        "│ holds AccessShareLock on users (blocks nothing but schema changes)\n"
        "└─ alembic: waits for AccessExclusiveLock on users (blocks reads and writes), for N ms\n"
        "     ?\n"
        "     alice holds AccessShareLock"
    )


def test_a_long_queue_takes_no_time():
    """Of n changes in a queue each waits for all before it: counted carelessly, that is 2ⁿ steps."""
    backends = [Backend(n, f"s{n}", "active", "", None, (), Wait("it", "", None, tuple(range(n)))) for n in range(100)]
    heads = [line for line in str(LockTree(backends, {})).splitlines() if "waits for" in line]
    assert [line.index("s") for line in heads] == [3 * n for n in range(100)]


def test_the_terminal_has_the_same(workspace, monkeypatch, capsys):
    place = find_lesson("00")
    opened = open_place(place)
    with opened.server.connect(opened.database, application_name="alice") as alice:
        alice.execute("BEGIN")
        alice.execute("LOCK TABLE users")
        monkeypatch.setenv("LAB_PLACE", place.place)
        assert main(["locks"]) == 0
    assert capsys.readouterr().out.startswith("alice: idle in transaction, for ")
    monkeypatch.delenv("LAB_PLACE")
    assert main(["locks"]) == 1
    assert capsys.readouterr().err == "No lesson is open in this terminal. `lab open NUMBER` opens one.\n"
