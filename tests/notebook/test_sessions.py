"""Named sessions on the real server: what they give, how they wait, and that nothing of them is left.

A session that outlived its lesson would hold its locks, and the next migration would wait for somebody unseen.
"""

from __future__ import annotations

import _thread
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from types import SimpleNamespace

import psycopg
import pytest
from tests.waiting import wait_until

from migration_lab.course.manifest import find_lesson
from migration_lab.learner import lesson
from migration_lab.notebook import sessions
from migration_lab.notebook.sessions import Sessions, split
from migration_lab.server import startstate
from migration_xray import command
from migration_xray.errors import UserError

ABORTED = "alice is in an aborted transaction: until its ROLLBACK the server refuses all else."
NICKNAME = "ALTER TABLE users ADD COLUMN nickname text"
on_posix = pytest.mark.skipif(os.name == "nt", reason="kills a process as POSIX systems do")


@pytest.fixture
def opened(workspace):
    return lesson.open_place(find_lesson("00"))


@pytest.fixture
def named(opened):
    """The named sessions of lesson 00."""
    named = Sessions(opened)
    yield named
    named.close()


@pytest.fixture
def watcher(opened):
    with opened.server.connect(opened.database) as watcher:
        yield watcher


def said(named: Sessions, name: str, script: str, wait: bool = True) -> str:
    """What a learner reads under a cell that goes well."""
    outcomes = list(named.run(name, script, wait))
    assert outcomes[-1].error == ""
    return "\n".join(map(str, outcomes))


def error(named: Sessions, name: str, script: str) -> str:
    return list(named.run(name, script))[-1].error


def connected(watcher: psycopg.Connection) -> list[str]:
    """The names of the sessions that the server has in this database, but for the lab's own."""
    return [
        row[0]
        for row in watcher.execute(
            "SELECT application_name FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend' AND application_name <> 'migration-lab' ORDER BY 1"
        )
    ]


def columns_of_users(watcher: psycopg.Connection) -> list[str]:
    query = "SELECT attname FROM pg_attribute WHERE attrelid = 'users'::regclass AND attnum > 0 ORDER BY attnum"
    return [row[0] for row in watcher.execute(query)]


# The statements of a cell


@pytest.mark.parametrize(
    ("script", "statements"),
    [
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1;\n\nSELECT 2 ;; ;\n", ["SELECT 1", "SELECT 2"]),
        ("SELECT ';'; SELECT ';''; '", ["SELECT ';'", "SELECT ';''; '"]),
        (r"SELECT E'\'; '; SELECT '\'; SELECT 3", [r"SELECT E'\'; '", r"SELECT '\'", "SELECT 3"]),
        ('SELECT ";" FROM "a;""b"; SELECT 2', ['SELECT ";" FROM "a;""b"', "SELECT 2"]),
        ("DO $$ a; $b$; $$; DO $b$ $$; $$ $b$", ["DO $$ a; $b$; $$", "DO $b$ $$; $$ $b$"]),
        ("SELECT a$b$c; SELECT a$b$c", ["SELECT a$b$c", "SELECT a$b$c"]),
        ("SELECT $1; SELECT $1", ["SELECT $1", "SELECT $1"]),
        ("-- one; two\nSELECT 1; -- it's; over\n", ["-- one; two\nSELECT 1"]),
        ("/* a; /* b; */ c; */ SELECT 1; /* ; */", ["/* a; /* b; */ c; */ SELECT 1"]),
        ("SELECT 2 /* ' */; SELECT ' /* '; SELECT 3", ["SELECT 2 /* ' */", "SELECT ' /* '", "SELECT 3"]),
        ("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3",
         ["CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)", "SELECT 3"]),
        ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 3",
         ["CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END", "SELECT 3"]),
        ("BEGIN; SELECT CASE WHEN true THEN 1 END; END", ["BEGIN", "SELECT CASE WHEN true THEN 1 END", "END"]),
        ("SELECT 'never closed; SELECT 2", ["SELECT 'never closed", "SELECT 2"]),
        (" -- nothing\n ; /* at all */", []),
    ],
)  # fmt: skip
def test_a_cell_is_split_where_psql_would_split_it(script, statements):
    assert split(script) == statements


def test_a_notice_that_comes_at_once_is_told(named, monkeypatch):
    """On a busy machine a job was over before its session knew of it, and a DROP … CASCADE said nothing of what went."""
    at_once = SimpleNamespace(Event=threading.Event, Thread=lambda target, daemon: SimpleNamespace(start=target))
    monkeypatch.setattr(sessions, "threading", at_once)
    assert said(named, "alice", "DO $$ BEGIN RAISE NOTICE 'here'; END $$") == "NOTICE: here\nDO"


def test_each_statement_is_sent_by_itself(named):
    """Sent as one, they would be one transaction: locks kept to the cell's end, no CREATE INDEX CONCURRENTLY."""
    given = said(named, "alice", "CREATE INDEX CONCURRENTLY i ON users (age); VACUUM users; DROP INDEX CONCURRENTLY i")
    assert given == "CREATE INDEX\nVACUUM\nDROP INDEX"


# What a session gives


def test_each_statement_gives_what_psql_shows(named):
    given = said(
        named,
        "alice",
        """
        CREATE TABLE t (id int PRIMARY KEY, note text);
        INSERT INTO t VALUES (1, NULL), (2, E'two\nlines; 100%') RETURNING *;
        UPDATE t SET note = 'one' WHERE id = 1;
        SELECT id AS number, note, id > 1 AS many, array[id] FROM t WHERE id = 1;
        SELECT FROM t; SELECT 1 WHERE false;
        DO $$ BEGIN RAISE NOTICE 'so; it is' USING DETAIL = 'why'; END $$; DROP TABLE IF EXISTS nothing;
        EXPLAIN (COSTS OFF) SELECT * FROM t ORDER BY note;
        """,
    )
    assert given.splitlines() == [
        "CREATE TABLE",
        "id | note", "---+----------------", "1  | NULL", "2  | two↵lines; 100%", "INSERT 0 2",
        "UPDATE 1",
        "number | note | many | array", "-------+------+------+------", "1      | one  | f    | {1}",
        "(2 rows)",
        "?column?", "--------", "(0 rows)",
        "NOTICE: so; it is", "  DETAIL: why", "DO",
        'NOTICE: table "nothing" does not exist, skipping', "DROP TABLE",
        "QUERY PLAN", "-------------------", "Sort", "  Sort Key: note", "  ->  Seq Scan on t",
    ]  # fmt: skip


def test_many_rows_are_told_by_their_number(named):
    """A SELECT without WHERE on the large shop is 300,000 rows, which no browser survives."""
    (outcome,) = named.run("alice", "SELECT generate_series(1, 12345) AS n")
    assert str(outcome).splitlines()[-2:] == ["20", "(12,345 rows, 20 shown)"]
    assert len(str(outcome).splitlines()) == 23
    assert outcome._repr_html_().count("<tr>") == 21 and outcome._repr_html_().endswith("(12,345 rows, 20 shown)")


def test_rows_are_a_table_in_a_notebook_and_what_they_hold_is_text(named):
    (outcome,) = named.run("alice", "BEGIN; SELECT '<b>&' AS \"<i>\"; END")
    html = outcome._repr_html_()
    assert "&lt;i&gt;</th>" in html and "&lt;b&gt;&amp;</td>" in html and "BEGIN</pre>" in html
    (outcome,) = named.run("alice", "BEGIN; END")
    assert outcome._repr_html_() is None, "without rows the text alone reads best"


def test_a_session_stays_open_and_its_transaction_is_the_learners(named, watcher):
    assert said(named, "alice", "BEGIN; DELETE FROM orders; SET LOCAL work_mem = '7MB'") == "BEGIN\nDELETE 1000\nSET"
    assert said(named, "alice", "SHOW work_mem").splitlines()[-1] == "7MB"
    assert said(named, "bob", "SELECT count(*) FROM orders").splitlines()[-1] == "1000"
    assert str(named.outcome("alice")) == "alice is idle in transaction"
    assert connected(watcher) == ["alice", "bob"]
    assert said(named, "alice", "ROLLBACK; SELECT count(*) FROM orders").splitlines()[-1] == "1000"
    assert str(named.outcome("alice")) == "alice is idle"


# Errors


def test_an_error_is_postgresqls_sentence_and_ends_the_cell(named):
    (outcome,) = named.run("alice", "SELECT 1 AS n; SELECT nme FROM users; SELECT 2")
    assert str(outcome) == "n\n-\n1"
    assert outcome.error == (
        'UndefinedColumn: column "nme" does not exist\n  HINT: Perhaps you meant to reference the column "users.name".'
    )
    assert str(named.outcome("alice")) == "alice is idle"


def test_an_aborted_transaction_is_said(named):
    """What comes after is refused with a sentence that does not say what went wrong, or how to get out."""
    assert error(named, "alice", "BEGIN; SELECT 1 / 0") == f"DivisionByZero: division by zero\n{ABORTED}"
    assert error(named, "alice", "SELECT 1").splitlines()[-1] == ABORTED
    assert str(named.outcome("alice")) == "alice is idle in transaction (aborted)"
    assert said(named, "alice", "COMMIT") == "ROLLBACK", "the server's tag tells that nothing was committed"


def test_a_deadlock_is_told_in_names(named):
    """PostgreSQL's own detail has process and transaction numbers, which are other ones at each run."""
    said(named, "alice", "BEGIN; UPDATE users SET age = '1' WHERE id = 1")
    said(named, "bob", "BEGIN; UPDATE users SET age = '2' WHERE id = 2")
    waiting = said(named, "alice", "UPDATE users SET age = '1' WHERE id = 2", wait=False)
    assert waiting == "alice waits for bob to end its transaction (a row of users)"
    given = error(named, "bob", "UPDATE users SET age = '2' WHERE id = 1")
    before, last = named.run("alice", "ROLLBACK")
    assert str(before).startswith("In the background:\n")
    assert str(last) == "ROLLBACK"
    told = given + str(before)
    assert told.count("DeadlockDetected: deadlock detected") == 1
    assert "bob waits for ShareLock on a transaction; blocked by alice." in told
    assert not re.search(r"\d", told.replace("UPDATE 1", ""))


@pytest.mark.parametrize("copy", ["COPY users TO STDOUT", "COPY users FROM STDIN"])
def test_copy_between_server_and_client_is_psqls(named, copy):
    """It left the connection in the midst of COPY, and every statement after it failed."""
    assert error(named, "alice", copy).startswith("COPY from or to the client takes psql")
    assert said(named, "alice", "SELECT 1 AS n") == "n\n-\n1"


@pytest.mark.parametrize("name", ["Zoë", "1st", "a b", "x" * 64, "migration-lab", "x-ray"])
def test_a_name_that_the_server_would_not_keep_is_refused(named, name):
    """PostgreSQL replaces other letters and cuts what is long: the session would go by another name in %locks."""
    with pytest.raises(UserError, match="can't be called"):
        list(named.run(name, "SELECT 1"))


def test_a_cell_without_sql_opens_no_session(named, watcher):
    with pytest.raises(UserError, match="no SQL for alice"):
        list(named.run("alice", "-- later\n"))
    assert connected(watcher) == []


# In the background


def test_a_lock_queue_reads_the_same_at_each_run(shell):
    """The scene of lesson 10. A notebook's stored output is compared with its next: milliseconds alone may differ."""
    shell("%lesson 00 --reset")
    first, second = [], []
    for told in (first, second):
        for cell in (
            "%%session alice\nBEGIN; SELECT count(*) FROM users",
            f"%%session migration --no-wait\n{NICKNAME}",
            "%%session bob --no-wait\nSELECT name FROM users WHERE id = 1",
            "%locks",
            "%%session alice\nCOMMIT",
            "%session migration",
            "%%session bob\nALTER TABLE users DROP nickname",
        ):
            ran = shell(cell)
            assert ran.error is None, ran
            told.append(re.sub(r"\d[\d,]* ms", "N ms", ran.text))
        for name in ("alice", "migration", "bob"):
            shell(f"%session {name} --close")
    assert first == second
    assert first[1:3] == [
        "migration waits for AccessExclusiveLock on users (blocks reads and writes); alice holds AccessShareLock",
        "bob waits for AccessShareLock on users; migration is before it in the queue",
    ]
    assert re.findall(r"(\w+): ", first[3]) == ["alice", "migration", "bob"]
    assert first[4:6] == ["COMMIT", "ALTER TABLE"]
    assert first[6].startswith("In the background:")


def test_what_is_soon_done_is_shown_at_once(named):
    assert said(named, "alice", "SELECT 1 AS n; SELECT 2 AS n", wait=False) == "n\n-\n1\nn\n-\n2"
    assert str(named.outcome("alice")) == "alice is idle"
    (outcome,) = named.run("alice", "SELECT 1 / 0", wait=False)
    assert outcome.error == "DivisionByZero: division by zero"


def test_what_runs_on_is_said_and_its_outcome_is_shown_once(named):
    assert said(named, "alice", "BEGIN; SELECT\n  pg_sleep(2); SELECT 7 AS n", wait=False) == (
        "BEGIN\nalice runs: SELECT pg_sleep(2)"
    )
    assert str(named.outcome("alice")).splitlines() == ["pg_sleep", "--------", "", "n", "-", "7"]
    assert str(named.outcome("alice")) == "alice is idle in transaction"


def test_what_failed_in_the_background_fails_the_cell_that_asks_for_it(named):
    """Shown as an output like others it would let "Run All" go on as if the change were made."""
    said(named, "alice", "BEGIN; SELECT FROM users")
    assert "alice holds" in said(named, "bob", f"SET lock_timeout = '1500ms'; {NICKNAME}", wait=False)
    assert named.outcome("bob").error == "LockNotAvailable: canceling statement due to lock timeout"


def test_one_that_goes_on_waiting_says_so_and_is_not_lost(named, watcher, monkeypatch):
    """The notebook that could let go of the lock hangs in this very cell."""
    monkeypatch.setattr(sessions, "PATIENCE", 0.3)
    said(named, "alice", "BEGIN; LOCK TABLE users IN SHARE MODE")
    for ask in (
        lambda: list(named.run("bob", "DELETE FROM orders; DELETE FROM users")),
        lambda: list(named.run("bob", "SELECT 1")),
        lambda: named.outcome("bob"),
    ):
        with pytest.raises(UserError) as refused:
            ask()
        assert str(refused.value) == (
            "bob still waits for RowExclusiveLock on users; alice holds ShareLock. It goes on in the background. End the "
            "transaction that it waits for, then `%session bob` shows what it gave; `%session bob --close` ends it."
        )
    said(named, "alice", "COMMIT")
    assert str(named.outcome("bob")) == "DELETE 1000\nDELETE 1000"


def test_an_interrupt_cancels_the_statement(named):
    """As Ctrl-C does in psql: the session and its transaction's end stay the learner's."""
    threading.Timer(1.0, _thread.interrupt_main).start()
    (outcome,) = named.run("alice", "BEGIN; SELECT 1 AS n; SELECT pg_sleep(60); SELECT 2")
    assert str(outcome) == "BEGIN\nn\n-\n1"
    assert outcome.error == f"QueryCanceled: canceling statement due to user request\n{ABORTED}"


def test_an_interrupt_of_the_next_cell_lets_the_background_go_on(named):
    said(named, "alice", "SELECT pg_sleep(3)", wait=False)
    threading.Timer(0.5, _thread.interrupt_main).start()
    with pytest.raises(
        UserError, match="alice still runs. It goes on in the background. Later, `%session alice` shows"
    ):
        list(named.run("alice", "SELECT 1"))
    assert named.outcome("alice").error == ""


# The end of a session


def test_closing_ends_what_waits(named, watcher):
    """A server does not notice that the client of a waiting statement has gone: it would change the table later on."""
    said(named, "alice", "BEGIN; SELECT FROM users")
    said(named, "bob", f"{NICKNAME}; {NICKNAME}2", wait=False)
    named.close("bob")
    wait_until(lambda: connected(watcher) == ["alice"])
    named.close()
    named.close("nobody")
    wait_until(lambda: connected(watcher) == [])
    assert "nickname" not in columns_of_users(watcher)


def test_sessions_close_with_the_lesson(shell, watcher):
    """Their locks would make the next lesson's migration wait; and the reset would end them without a word."""
    shell("%lesson 00")
    shell("%%session alice\nBEGIN; SELECT FROM users")
    shell(f"%%session bob --no-wait\n{NICKNAME}")
    assert connected(watcher) == ["%sql", "alice", "bob"]
    shell("%lesson 01")
    wait_until(lambda: connected(watcher) == [])
    assert str(shell("%session alice").error).startswith("No session alice is open in this notebook")


@on_posix
def test_a_killed_kernel_leaves_no_session(opened, watcher):
    """Killed, it can't cancel: the server has to notice, also while the statement waits for a lock."""
    script = (
        "import time; from migration_lab.learner import lesson; from migration_lab.course.manifest import find_lesson\n"
        "from migration_lab.notebook.sessions import Sessions\n"
        f"named = Sessions(lesson.open_place(find_lesson('00'))); [*named.run('bob', '{NICKNAME}', False)]\n"
        "print('waiting', flush=True); time.sleep(600)"
    )
    with opened.server.connect(opened.database, application_name="alice") as alice:
        alice.execute("BEGIN")
        alice.execute("SELECT FROM users")
        kernel = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
        try:
            assert kernel.stdout.readline() == "waiting\n"
            assert connected(watcher) == ["alice", "bob"]
        finally:
            kernel.send_signal(signal.SIGKILL)
            kernel.communicate()
        wait_until(lambda: connected(watcher) == ["alice"])
    assert "nickname" not in columns_of_users(watcher)


@on_posix
def test_a_kernel_that_ends_cancels_at_once(workspace, opened, watcher):
    """Within the second that the server takes to notice, the lock may come free, and the change be made."""
    script = (
        "from IPython.core.interactiveshell import InteractiveShell; shell = InteractiveShell.instance()\n"
        "for cell in ('%load_ext migration_lab', '%lesson 00', '''%%session bob --no-wait\n"
        f"{NICKNAME}'''): shell.run_cell(cell)"
    )
    with opened.server.connect(opened.database, application_name="alice") as alice:
        alice.execute("BEGIN")
        alice.execute("SELECT FROM users")
        ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
        assert "bob waits for AccessExclusiveLock" in ended.stdout, ended
    assert "nickname" not in columns_of_users(watcher)


END_ALICE = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'alice' AND datname = current_database()"""


def test_a_session_that_the_server_ended_says_so_and_opens_anew(named, watcher):
    """Another kernel resets the lesson, or the server restarts; the transaction is lost, and that must be said."""
    said(named, "alice", "BEGIN; DELETE FROM orders")
    watcher.execute(END_ALICE)
    wait_until(lambda: connected(watcher) == [])
    told = error(named, "alice", "COMMIT")
    assert told.startswith("The session of alice is gone: ")
    assert told.endswith(". What it had not committed was rolled back; %%session alice opens a new one.")
    assert said(named, "alice", "SELECT count(*) FROM orders").splitlines()[-1] == "1000"


def test_one_that_the_server_ends_while_it_runs_says_so(named, watcher):
    said(named, "alice", "SELECT pg_sleep(60)", wait=False)
    watcher.execute(END_ALICE)
    assert named.outcome("alice").error.startswith(
        "The session of alice is gone: AdminShutdown: terminating connection due to administrator command."
    )


# Other roles, other sessions


def test_an_ordinary_role(opened, watcher):
    """On a workshop's server nobody is a superuser, and others' statements are hidden."""
    try:
        watcher.execute("CREATE ROLE workshop_guest LOGIN PASSWORD 'secret'")
    except psycopg.errors.InsufficientPrivilege:
        pytest.skip("needs the right to make a role")
    try:
        watcher.execute("GRANT SELECT ON users TO workshop_guest")
        url = opened.server.url.set(username="workshop_guest", password="secret")
        guest = Sessions(replace(opened, server=replace(opened.server, url=url)))
        with opened.server.connect(opened.database, application_name="owner") as owner:
            owner.execute("BEGIN")
            owner.execute("LOCK TABLE users")
            waiting = said(guest, "guest", "SELECT FROM users", wait=False)
            assert waiting == "guest waits for AccessShareLock on users; owner holds AccessExclusiveLock"
        assert str(guest.outcome("guest")) == "(1,000 rows)"
        assert error(guest, "guest", "DELETE FROM users") == "InsufficientPrivilege: permission denied for table users"
        guest.close()
    finally:
        watcher.execute("DROP OWNED BY workshop_guest; DROP ROLE workshop_guest")


def test_the_labs_sessions_have_names(shell, opened, tmp_path):
    """In %locks a learner must know their own: Alembic's, %sql's, psql's."""
    shell("%lesson 00")
    ask = "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()"
    assert shell(f"%sql {ask}").value[0][0] == "%sql"
    revision = opened.project / "migrations" / "versions" / "0004_ask.py"
    revision.write_text(
        'revision, down_revision = "0004_ask", "0003_orders"\n'
        f'def upgrade():\n    from alembic import op\n    print(op.get_bind().exec_driver_sql("{ask}").scalar())\n'
    )
    assert "alembic" in shell("%alembic upgrade 0004_ask").text.splitlines()
    assert "PGAPPNAME" not in os.environ, "psql would go by that name"


def test_a_name_that_the_learner_gives_alembic_stays(opened, monkeypatch):
    monkeypatch.setenv("PGAPPNAME", "deploy")
    with startstate.variables(opened.variables()):
        command.run(["current"], opened.project, sys.stdout)
    assert os.environ["PGAPPNAME"] == "deploy"


# The cell's first line


@pytest.mark.parametrize(
    "cell",
    [
        "%session",
        "%%session\nSELECT 1",
        "%%session --no-wait\nSELECT 1",
        "%%session alice --nowait\nSELECT 1",
        "%%session alice bob\nSELECT 1",
        "%%session alice --close\nSELECT 1",
        "%session alice --close SELECT 1",
    ],
)
def test_a_first_line_that_is_not_understood_shows_how_it_goes(shell, cell):
    shell("%lesson 00")
    ran = shell(cell)
    assert isinstance(ran.error, UserError)
    assert ran.text.startswith("A session's cell begins with `%%session NAME`")


def test_a_line_may_have_the_sql(shell):
    shell("%lesson 00")
    assert shell("%session alice SELECT 'two  spaces' AS said").text.splitlines()[-1] == "two  spaces"
    assert shell("%session alice --no-wait BEGIN").text == "BEGIN"
    assert shell("%session alice").text == "alice is idle in transaction"
    assert shell("%session alice --close").text == ""
    assert str(shell("%session alice").error) == (
        "No session alice is open in this notebook; a cell that begins with %%session alice opens it."
    )


def test_sessions_need_an_open_lesson(shell):
    for cell in ("%%session alice\nSELECT 1", "%session alice", "%locks"):
        assert str(shell(cell).error).startswith("No lesson is open in this notebook.")
