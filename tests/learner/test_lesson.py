"""Lessons open where they were left, and go back to their start whatever has happened to them.

First the start states that they begin from; then opening and resetting on the real server, with real processes killed.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from jupyter_client import KernelManager
from tests.learner.reconnecting import reconnecting, sleeping
from tests.waiting import wait_until

from migration_lab.cli import main
from migration_lab.course.manifest import find_exercise, find_lesson
from migration_lab.errors import in_words
from migration_lab.learner import lesson
from migration_lab.pictures import diff, snapshot
from migration_lab.server import startstate
from migration_lab.server.postgres import Server, environment
from migration_xray.errors import UserError

FIRST = find_lesson("00")


def databases(running: Server, pattern: str) -> set[str]:
    with running.connect() as session:
        return {row[0] for row in session.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", [pattern])}


# Start states

TINY = {"users": 20, "products": 20, "orders": 20}


@pytest.fixture
def shop(tmp_path, monkeypatch, running):
    """The files of a start state of the test's own, "tiny"; its templates are dropped at the end."""
    here = tmp_path / "engine"
    for part in ("shop", "project"):
        shutil.copytree(startstate.PACKAGE / part, here / part)
    monkeypatch.setattr(startstate, "PACKAGE", here)
    monkeypatch.setitem(startstate.ROWS, "tiny", TINY)
    yield here / "shop"
    with running.connect() as session:
        for name in databases(running, "shop_tiny_%"):
            startstate.drop_database(session, name)


BUILD = f"""
import sys
from pathlib import Path
from migration_lab.server import startstate
from migration_lab.server.postgres import server
startstate.PACKAGE = Path(sys.argv[1])
startstate.ROWS["tiny"] = {TINY}
name = startstate.ensure_template(server(), "tiny")
with server().connect() as session:
    print(session.execute("SELECT oid FROM pg_database WHERE datname = %s", [name]).fetchone()[0])
"""


def building(shop: Path, running: Server) -> subprocess.Popen:
    """Another process that builds the same start state."""
    here = os.environ | {"LAB_POSTGRES": running.url.render_as_string(hide_password=False)}
    return subprocess.Popen([sys.executable, "-c", BUILD, shop.parent], env=here, stdout=subprocess.PIPE, text=True)


def oid(running: Server, database: str) -> int:
    with running.connect() as session:
        return session.execute("SELECT oid FROM pg_database WHERE datname = %s", [database]).fetchone()[0]


def active(running: Server, pattern: str) -> list[int]:
    """The backends that run such a statement now."""
    with running.connect() as session:
        query = "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE %s AND pid <> pg_backend_pid()"
        return [row[0] for row in session.execute(query, [pattern])]


GATE = """
DO $gate$ BEGIN
    WHILE EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'gate') LOOP
        PERFORM pg_stat_clear_snapshot(), pg_sleep(0.02);
    END LOOP;
END $gate$;
"""


@contextmanager
def builds_held(shop: Path, running: Server):
    """Let every build of this start state wait before its first row until the block is done."""
    data = shop / "data.sql"
    data.write_text(GATE + data.read_text("utf-8"), "utf-8")
    with running.connect(application_name="gate"):
        yield


def rows_digest(session: psycopg.Connection) -> list[str]:
    return [
        session.execute(f"SELECT md5(string_agg(t::text, chr(10) ORDER BY id)) FROM {table} AS t").fetchone()[0]
        for table in ("users", "products", "orders")
    ]


@pytest.fixture
def clone(running):
    """``clone(start)``: an autocommit session in a new database at a start state."""
    made = []

    def make(start: str) -> psycopg.Connection:
        name = f"clone_{os.getpid()}_{len(made)}"
        startstate.create_database(running, name, start)
        made.append(running.connect(name))
        return made[-1]

    yield make
    for session in made:
        session.close()
    with running.connect() as session:
        for database in databases(running, f"clone_{os.getpid()}_%"):
            startstate.drop_database(session, database)


@pytest.mark.parametrize("start", ["empty", "small", "large"])
def test_a_start_state_has_the_rows_that_it_promises(start, clone):
    """At the large one a bad lock is clearly felt; with fewer rows the lessons about locks would show nothing."""
    session = clone(start)
    tables = {row[0] for row in session.execute("SELECT relname FROM pg_stat_user_tables")}
    counts = {table: session.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in startstate.ROWS[start]}
    assert counts == startstate.ROWS[start]
    assert tables == ({"alembic_version", *counts} if counts else set())


def test_a_clone_is_what_the_shops_revisions_say(clone, tmp_path, database, running):
    """A lesson's files and its database tell one story: `alembic upgrade head` on nothing leads to the same schema."""
    startstate.lay_project(tmp_path, "small")
    variables = os.environ | environment(running.database_url(database.info.dbname))
    alembic = [sys.executable, "-m", "alembic", "upgrade", "head"]
    subprocess.run(alembic, cwd=tmp_path, env=variables, capture_output=True, check=True)
    cloned = clone("small")
    assert diff(snapshot(database), snapshot(cloned)) == []
    versions = "SELECT version_num FROM alembic_version"
    assert cloned.execute(versions).fetchall() == database.execute(versions).fetchall()


def test_a_clone_takes_new_rows(clone):
    """Rows loaded with ids of their own leave the sequences behind: the learner's first INSERT met UniqueViolation."""
    session = clone("small")
    session.execute("INSERT INTO users (name, email) VALUES ('Zoë', 'zoe@example.com')")
    session.execute("INSERT INTO products (name, price) VALUES ('Tea', 1)")
    session.execute("INSERT INTO orders (user_id, total) VALUES (1, 1)")
    assert session.execute("SELECT count(*), max(id) FROM orders").fetchone() == (1001, 1001)


def test_the_rows_are_the_same_wherever_they_are_made(shop, clone, running, monkeypatch):
    """Lessons quote rows; a server in Tokyo that writes dates the German way must have the same ones."""
    expected = rows_digest(clone("tiny"))
    template = startstate.ensure_template(running, "tiny")
    with running.connect() as session:
        startstate.drop_database(session, template)
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")
    monkeypatch.setenv("PGDATESTYLE", "german, dmy")
    monkeypatch.setenv("PGOPTIONS", "-c extra_float_digits=0 -c standard_conforming_strings=off")
    startstate.ensure_template(running, "tiny")
    for name in ("PGTZ", "PGDATESTYLE", "PGOPTIONS"):
        monkeypatch.delenv(name)
    assert rows_digest(clone("tiny")) == expected


def test_a_start_state_is_built_once(shop, running):
    name = startstate.ensure_template(running, "tiny")
    first = oid(running, name)
    assert startstate.ensure_template(running, "tiny") == name
    assert oid(running, name) == first
    with pytest.raises(UserError, match="not currently accepting connections"):
        running.connect(name)  # a session in a template would keep every lesson from opening


@pytest.mark.parametrize("change", ["rows", "revision", "env.py"])
def test_a_changed_start_state_has_another_name(shop, monkeypatch, change):
    """After `git pull` a template by the old name would be taken for the new one."""
    before = startstate.template_name("tiny", "lab")
    if change == "rows":
        monkeypatch.setitem(startstate.ROWS, "tiny", TINY | {"users": 21})
    elif change == "revision":
        (shop / "migrations" / "versions" / "0004_more.py").write_text("revision = '0004'")
    else:
        (shop.parent / "project" / "migrations" / "env.py").write_text("# another")
    assert startstate.template_name("tiny", "lab") != before


@pytest.mark.parametrize("kind", ["embedded", "url"])
def test_an_outdated_start_state_makes_room(shop, running, monkeypatch, kind):
    """Each `git pull` that changed the shop left a quarter of a gigabyte for ever; on a server that is shared, others
    may still begin from it."""
    server = replace(running, kind=kind)
    before = startstate.ensure_template(server, "tiny")
    monkeypatch.setitem(startstate.ROWS, "tiny", TINY | {"users": 21})
    after = startstate.ensure_template(server, "tiny")
    assert databases(running, "shop_tiny_%") == ({after} if kind == "embedded" else {before, after})


def test_a_build_that_fails_leaves_nothing(shop, running):
    """What a failed build leaves must neither be taken for a start state nor stand in the way of the next one."""
    data = shop / "data.sql"
    good = data.read_text("utf-8")
    data.write_text(good + "SELECT no_such_function();", "utf-8")
    before = databases(running, "shop_tiny_%")
    with pytest.raises(psycopg.errors.UndefinedFunction):
        startstate.ensure_template(running, "tiny")
    assert databases(running, "shop_tiny_%") == before
    data.write_text(good, "utf-8")
    assert startstate.ensure_template(running, "tiny") in databases(running, "shop_tiny_%")


def test_a_killed_build_is_done_again(shop, running, clone):
    """Someone closes the laptop in the half minute of the first build: what stands half is never cloned."""
    with builds_held(shop, running), building(shop, running) as killed:
        wait_until(lambda: active(running, "%$gate$%"))
        killed.kill()
    assert databases(running, "shop_tiny_%_making")
    assert clone("tiny").execute("SELECT count(*) FROM orders").fetchone() == (20,)
    assert not databases(running, "shop_tiny_%_making")


def test_two_that_build_at_once_share_one_template(shop, running):
    """Twenty people open lesson 02 at once on the workshop's server: one builds, the others wait for it."""
    with ExitStack() as stack:
        with builds_held(shop, running):
            first = stack.enter_context(building(shop, running))
            wait_until(lambda: active(running, "%$gate$%"))
            second = stack.enter_context(building(shop, running))
            wait_until(lambda: active(running, "SELECT pg_advisory_lock%"))
        said = [process.communicate(timeout=60)[0] for process in (first, second)]
        template = startstate.ensure_template(running, "tiny")
        assert said == [f"{oid(running, template)}\n"] * 2


@pytest.fixture
def another_role(running):
    """The same server for another role, which may create databases and no more."""
    with running.connect() as session:
        if not session.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()[0]:
            pytest.skip("needs the right to make a role")
        session.execute("CREATE ROLE another_learner LOGIN CREATEDB PASSWORD 'secret'")
        yield Server("url", running.url.set(username="another_learner", password="secret"), running.version)
        owned = "SELECT datname FROM pg_database WHERE datdba = 'another_learner'::regrole"
        for (name,) in session.execute(owned).fetchall():
            startstate.drop_database(session, name)
        session.execute("DROP ROLE another_learner")


def test_each_role_has_templates_of_its_own(another_role, running, workspace, monkeypatch):
    """On a workshop's server a role each: the second learner met `permission denied to copy database`."""
    startstate.ensure_template(running, "small")
    monkeypatch.setenv("LAB_POSTGRES", another_role.url.render_as_string(hide_password=False))
    opened = lesson.open_place(FIRST)
    with another_role.connect(opened.database) as session:
        session.execute("ALTER TABLE users ADD COLUMN mine text")


# Opening


def fingerprint(opened: lesson.Opened) -> tuple:
    """What a lesson is at its start: its schema's revision, its number of rows, its files."""
    with opened.server.connect(opened.database) as session:
        columns = "SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'users'::regclass"
        rows, columns = session.execute(f"SELECT (SELECT count(*) FROM users), ({columns})").fetchone()
    files = sorted(path.relative_to(opened.project).as_posix() for path in opened.project.rglob("*.py"))
    return opened.revision, rows, columns, files


@pytest.fixture
def opened(workspace) -> lesson.Opened:
    return lesson.open_place(FIRST)


@pytest.fixture
def start(opened) -> tuple:
    """What lesson 00 is at its start, taken before the test changes it."""
    return fingerprint(opened)


def mine(opened: lesson.Opened) -> Path:
    """A revision that the learner is writing."""
    path = opened.project / "migrations" / "versions" / "0004_größe.py"
    path.write_text("# my unfinished work", encoding="utf-8")
    return path


def test_opening_says_where_one_is(opened):
    server, database, revision = str(opened).splitlines()
    assert server.startswith("Server    PostgreSQL ")
    assert database == f"Database  lesson_00_{opened.workspace.tag}"
    assert revision == "Revision  0003_orders"


CONTEXT = [
    "INFO  [alembic.runtime.migration] Context impl PostgresqlImpl.",
    "INFO  [alembic.runtime.migration] Will assume transactional DDL.",
]


def alembic_in(opened: lesson.Opened, *arguments: str) -> list[str]:
    """What Alembic's own program prints in an open place."""
    variables = os.environ | opened.variables()
    command = [sys.executable, "-m", "alembic", *arguments]
    done = subprocess.run(command, cwd=opened.project, env=variables, capture_output=True, text=True, check=True)
    return (done.stdout + done.stderr).splitlines()


def test_what_alembic_logs_of_its_context_is_shown_where_it_is_explained(workspace):
    """The same two lines stood above every command of twenty lessons; what the command did stood below them."""
    step = "INFO  [alembic.runtime.migration] Running downgrade 0003_orders -> 0002_products, Add orders"
    first, later = (lesson.open_place(find_lesson(number), workspace=workspace) for number in ("00", "02"))
    assert alembic_in(first, "downgrade", "-1") == [*CONTEXT, step]
    assert alembic_in(later, "downgrade", "-1") == [step], "the lines that say what a command did must stay"
    assert alembic_in(later, "upgrade", "head", "--sql")[0] == "BEGIN;"


def test_the_setting_says_how_to_have_alembics_lines_back(workspace):
    """It is a setting that nobody knows from elsewhere, in a file that learners take as a model."""
    opened = lesson.open_place(find_lesson("02"), workspace=workspace)
    ini = opened.project / "alembic.ini"
    text = ini.read_text("utf-8")
    setting = text[text.index("class = type(") : text.index("args = ")]
    back = re.search(r"# To have them back, write: (class = \w+)\n", text)[1]
    ini.write_text(text.replace(setting, f"{back}\n"), "utf-8")
    assert alembic_in(opened, "current")[-2:] == CONTEXT


def test_the_first_lessons_alembic_ini_is_as_alembic_writes_it(workspace):
    """No word of a setting that it does not have."""
    ini = (lesson.open_place(find_lesson("00"), workspace=workspace).project / "alembic.ini").read_text("utf-8")
    assert "\n[handler_console]\nclass = StreamHandler\nargs = (sys.stderr,)\n" in ini
    assert "Context impl" not in ini


def test_the_databases_name_carries_a_tag_where_others_may_be(workspace, running):
    """Two learners on one server must not open each other's lessons; on one's own server the plain name reads best."""
    names = {"embedded": "lesson_00", "docker": f"lesson_00_{workspace.tag}", "url": f"lesson_00_{workspace.tag}"}
    for kind, name in names.items():
        assert lesson.database_name("lesson_00", Server(kind, running.url, running.version), workspace) == name


def test_opening_again_keeps_what_is_there(opened, start):
    """A restarted kernel opens its lesson again; half an hour of work would be gone."""
    with opened.server.connect(opened.database) as session:
        session.execute("ALTER TABLE users ADD COLUMN mine text")
    path = mine(opened)
    again = lesson.open_place(FIRST)
    assert again.saved is None
    assert path.read_text(encoding="utf-8") == "# my unfinished work"
    assert fingerprint(again)[2] == f"{start[2]} mine"


def test_variables_mean_the_place_for_every_program(opened):
    """`!psql`, `!alembic` and a terminal's `lab` worked on another database than the lesson's, or were not found."""
    run = {"cwd": opened.project, "env": os.environ | opened.variables(), "capture_output": True, "text": True}
    current = subprocess.run([shutil.which("alembic", path=run["env"]["PATH"]), "current"], **run)
    assert current.stdout == "0003_orders (head)\n"
    psql = [shutil.which("psql", path=run["env"]["PATH"]), "-Atc", "SELECT current_database()"]
    assert subprocess.run(psql, **run).stdout == f"{opened.database}\n"
    assert subprocess.run([shutil.which("lab", path=run["env"]["PATH"]), "schema"], **run).stdout.startswith("orders\n")


def test_a_relative_folder_stays_the_same_one(opened, monkeypatch):
    """The kernel moves into the project; from there a relative LAB_WORK made another work/ inside of it."""
    monkeypatch.chdir(opened.workspace.path.parent)
    monkeypatch.setenv("LAB_WORK", opened.workspace.path.name)
    assert lesson.open_place(FIRST).variables()["LAB_WORK"] == str(opened.workspace.path)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("columns_and_tipes", 'There is no lesson "columns_and_tipes". The nearest is 02.'),
        ("02_columns.ipynb", 'There is no lesson "02_columns". The nearest is 02.'),
        ("77", 'There is no lesson "77". Lessons go from 00 to '),
        ("", "Which lesson? Lessons go from 00 to "),
    ],
)
def test_an_unknown_lesson_is_answered_with_the_nearest(words, sentence):
    with pytest.raises(UserError) as refusal:
        find_lesson(words)
    assert str(refusal.value).startswith(sentence)


@pytest.mark.parametrize("words", ["2", "02", "columns_and_types", "02_columns_and_types.ipynb"])
def test_a_lesson_is_found_by_what_people_call_it(words):
    assert find_lesson(f" {words} ").number == "02"


def test_a_held_lock_does_not_hold_the_lesson(opened):
    """A migration in another kernel may hold alembic_version for ever; the cell hung and gave no reason."""
    with closing(opened.server.connect(opened.database, autocommit=False)) as holder:
        holder.execute("LOCK TABLE alembic_version")
        with pytest.raises(UserError, match="Another session holds that lock: .*--reset"), in_words():
            lesson.open_place(FIRST)
        assert lesson.open_place(FIRST, reset=True).revision == "0003_orders"


# Resetting


def test_a_reset_brings_the_start_back_and_saves_the_files(opened, start):
    with opened.server.connect(opened.database) as session:
        session.execute("ALTER TABLE users ADD COLUMN mine text")
        session.execute("DELETE FROM orders")
    mine(opened)
    again = lesson.open_place(FIRST, reset=True)
    assert fingerprint(again) == start
    saved = again.saved / "migrations" / "versions" / "0004_größe.py"
    assert saved.read_text(encoding="utf-8") == "# my unfinished work"
    assert str(again).splitlines()[3] == f"Your files were saved in backups/{again.saved.name}"


def test_a_reset_of_untouched_files_saves_nothing(opened):
    """Every lesson begins with a reset; backups/ would fill with copies of the course."""
    again = lesson.open_place(FIRST, reset=True)
    assert again.saved is None
    assert len(str(again).splitlines()) == 3
    assert not opened.workspace.backups.exists()


@pytest.mark.skipif(os.name == "nt", reason="a dangling link, as Emacs makes one on POSIX systems")
def test_a_reset_goes_through_while_an_editor_is_open(opened, start):
    lock = mine(opened).with_name(".#0004_größe.py")
    lock.symlink_to("zoë@laptop.4711:1790000000")
    again = lesson.open_place(FIRST, reset=True)
    assert fingerprint(again) == start
    assert not os.path.lexists(lock)


def test_a_reset_keeps_the_folder_itself(opened):
    """A terminal or another kernel that works in the project must not find itself in a folder that is gone."""
    before = opened.project.stat().st_ino
    mine(opened)
    lesson.open_place(FIRST, reset=True)
    assert opened.project.stat().st_ino == before


def test_a_reset_ends_forty_sessions(opened, start):
    """An application's pool, forgotten notebooks, transactions left open with locks: none may stop a reset."""
    with ExitStack() as stack:
        sessions = [
            stack.enter_context(closing(opened.server.connect(opened.database, autocommit=False))) for _ in range(40)
        ]
        for number, session in enumerate(sessions[:20]):
            session.execute("UPDATE users SET name = 'x' WHERE id = %s", [number + 1])
        for session in sessions[20:25]:
            session.execute("LOCK TABLE orders IN SHARE MODE")
        sessions[30].execute("ALTER TABLE products ADD COLUMN mine text")
        assert fingerprint(lesson.open_place(FIRST, reset=True)) == start
        for session in sessions:
            with pytest.raises(psycopg.OperationalError):
                session.execute("SELECT 1")


def test_a_reset_goes_through_though_an_application_reconnects_at_once(opened, start):
    with reconnecting(opened, 3):
        for _ in range(3):
            wait_until(lambda: len(sleeping(opened)) == 3)
            assert fingerprint(lesson.open_place(FIRST, reset=True)) == start


SLOW = """
from alembic import op

revision = "0004_slow"
down_revision = "0003_orders"


def upgrade() -> None:
    op.execute("ALTER TABLE users ADD COLUMN slow text")
    op.execute("SELECT pg_sleep(600)")
"""


def test_a_reset_after_an_interrupted_upgrade(opened, start):
    """The process is killed, its backend sleeps on in its transaction and holds ACCESS EXCLUSIVE on users."""
    (opened.project / "migrations" / "versions" / "0004_slow.py").write_text(SLOW)
    alembic = [sys.executable, "-m", "alembic", "upgrade", "head"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(alembic, cwd=opened.project, env=os.environ | opened.variables(), **quiet) as upgrade:
        wait_until(lambda: sleeping(opened))
        upgrade.kill()
    assert sleeping(opened), "the server noticed; this test shows nothing then"
    assert lesson.open_place(FIRST).revision == "0003_orders"
    again = lesson.open_place(FIRST, reset=True)
    assert fingerprint(again) == start
    assert (again.saved / "migrations" / "versions" / "0004_slow.py").read_text() == SLOW
    assert not sleeping(opened)


def test_an_interrupted_reset_is_made_up_for(opened, start):
    """Killed between the old files and the new: the next opening lays what is missing, and loses nothing."""
    path = mine(opened)
    (opened.project / "alembic.ini").unlink()
    (opened.project / ".laid").unlink()
    again = lesson.open_place(FIRST)
    assert fingerprint(again) == start
    assert (opened.project / "alembic.ini").exists()
    assert (again.saved / path.relative_to(opened.project)).exists()


def test_a_full_disk_stops_a_reset_before_it_takes_anything_away(small_disk, workspace, monkeypatch, capsys):
    monkeypatch.setenv("LAB_WORK", str(small_disk / "work"))
    opened = lesson.open_place(FIRST)
    with opened.server.connect(opened.database) as session:
        session.execute("ALTER TABLE users ADD COLUMN mine text")
    path = mine(opened)
    before = fingerprint(opened)
    with open(small_disk / "filler", "wb", buffering=0) as file, pytest.raises(OSError):
        while True:
            file.write(b"\0" * 4096)
    assert main(["reset", "00"]) == 1
    said = capsys.readouterr().err
    assert "No space left on device" in said
    assert said.endswith("Make room on the disk, then try again.\n")
    assert len(said.splitlines()) == 1
    assert path.read_text(encoding="utf-8") == "# my unfinished work"
    (small_disk / "filler").unlink()
    assert fingerprint(lesson.open_place(FIRST)) == before
    with opened.server.connect() as session:
        startstate.drop_database(session, opened.database)


def test_two_processes_on_one_lesson(opened, start):
    """Two kernels run their first cells at once: both come through, and the lesson is whole."""
    mine(opened)
    reset = [sys.executable, "-m", "migration_lab", "reset", "00"]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    resets = [subprocess.Popen(reset, **pipes) for _ in range(3)]
    said = [process.communicate(timeout=120)[0] for process in resets]
    assert [process.returncode for process in resets] == [0, 0, 0], said
    assert sum("Your files were saved" in words for words in said) == 1
    assert fingerprint(lesson.open_place(FIRST)) == start


def test_a_deleted_folder_comes_again(opened, start):
    """People throw projects/ away to begin anew, with the lesson open."""
    shutil.rmtree(opened.workspace.path / "projects")
    assert fingerprint(lesson.open_place(FIRST)) == start


# A project of an earlier version of the course


@pytest.fixture
def old_exercise(workspace, monkeypatch):
    """An exercise's project as last month's course laid it: its starter has been corrected since."""
    exercise = find_exercise("first_step")
    lay_start = lesson.lay_start

    def lay_old_start(folder, place):
        lay_start(folder, place)
        (folder / "migrations" / "versions" / "0004_typo.py").write_text("# last month's starter")

    monkeypatch.setattr(lesson, "lay_start", lay_old_start)
    project = lesson.open_place(exercise).project
    monkeypatch.setattr(lesson, "lay_start", lay_start)
    return exercise, project


def test_untouched_files_of_an_earlier_version_are_renewed(old_exercise, workspace):
    """The check compared them with today's starter, and told people what was wrong with an answer they never wrote."""
    exercise, project = old_exercise
    assert lesson.open_place(exercise).saved is None
    assert not (project / "migrations" / "versions" / "0004_typo.py").exists()
    assert main(["check", "first_step"]) == 1


def test_touched_files_of_an_earlier_version_stay(old_exercise):
    exercise, project = old_exercise
    (project / "migrations" / "versions" / "0004_typo.py").write_text("# mine")
    assert lesson.open_place(exercise).saved is None
    assert (project / "migrations" / "versions" / "0004_typo.py").read_text() == "# mine"
    saved = lesson.open_place(exercise, reset=True).saved
    assert (saved / "migrations" / "versions" / "0004_typo.py").read_text() == "# mine"


# Kernels


class Kernel:
    """A real notebook kernel, as JupyterLab starts it."""

    def __init__(self):
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel()
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, code: str) -> tuple[str, dict]:
        """(what the cell printed, the kernel's reply)."""
        printed = []

        def listen(message):
            if message["msg_type"] == "stream":
                printed.append(message["content"]["text"])

        reply = self.client.execute_interactive(code, timeout=60, output_hook=listen, store_history=False)
        return "".join(printed), reply["content"]

    def end(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(workspace, tmp_path, monkeypatch):
    """Starts kernels; all are gone at the end."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    kernels = []

    def start() -> Kernel:
        kernels.append(Kernel())
        return kernels[-1]

    yield start
    for one in kernels:
        one.end()


@pytest.mark.skipif(os.name == "nt", reason="sends SIGKILL")
def test_a_killed_kernel_is_made_up_for_by_another(kernel):
    """Its transaction stays open on the server while its sockets do, as when a laptop sleeps: no lesson would open."""
    first, second = kernel(), kernel()
    code = (
        "%load_ext migration_lab\n%lesson 00\n"
        "import psycopg\n"
        "left_open = psycopg.connect()\n"
        "left_open.execute('ALTER TABLE users ADD COLUMN half text');"
    )
    _, reply = first.run(code)
    assert reply["status"] == "ok", reply
    os.kill(first.manager.provisioner.pid, signal.SIGSTOP)
    printed, reply = second.run("%load_ext migration_lab\n%lesson 00 --reset")
    assert reply["status"] == "ok", reply
    assert printed.splitlines()[2] == "Revision  0003_orders"
    os.kill(first.manager.provisioner.pid, signal.SIGKILL)
    printed, reply = second.run("%sql ALTER TABLE users ADD COLUMN half text\n%alembic current")
    assert reply["status"] == "ok", reply
    assert printed.splitlines()[-1] == "0003_orders (head)"

    # A refusal reaches JupyterLab as one sentence and stops "Run All".
    _, reply = second.run("%alembic upgrade nowhere")
    assert reply["status"] == "error"
    assert reply["traceback"] == ["FAILED: Can't locate revision identified by 'nowhere'"]


# What an installed package is like


def test_files_that_come_from_a_read_only_package_are_the_learners(tmp_path, monkeypatch):
    """On many shared installations nobody may write to the package, its folders included. A copy must not be like that."""
    package = tmp_path / "package"
    for name in ("project", "shop"):
        shutil.copytree(startstate.PACKAGE / name, package / name)
    for path in package.rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    monkeypatch.setattr(startstate, "PACKAGE", package)
    startstate.lay_project(tmp_path / "project", "small")
    laid = [tmp_path / "project", *(tmp_path / "project").rglob("*")]
    assert {path.name for path in laid} > {"alembic.ini", "env.py", "versions", "0003_orders.py"}
    assert [path for path in laid if not path.stat().st_mode & stat.S_IWUSR] == []
    for path in package.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
