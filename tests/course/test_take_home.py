"""The project that `lab template` writes: it works in any folder, without this kit, and beside others at work."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from conftest import programs
from sqlalchemy import create_engine, pool
from tests.waiting import committing, wait_until
from tests.xray.program import Forked

from migration_lab.cli import main
from migration_lab.course.manifest import find_exercise
from migration_lab.course.take_home import FILES, write_project
from migration_lab.files import content_digest, files_in
from migration_lab.pictures import diff, snapshot
from migration_lab.server.postgres import environment
from migration_xray.trace import Trace
from migration_xray.watch.events import watching

THE_KIT = ("migration_lab", "migration_xray")
# A Python in which this kit can't be imported, whatever is installed.
WITHOUT_THE_KIT = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({THE_KIT}))
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
REVISION = '''
"""A revision of a test"""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{down}"


def upgrade():
    {upgrade}


def downgrade():
    {downgrade}
'''
WAITING_FOR_A_LOCK = "application_name = 'alembic' AND datname = current_database() AND wait_event_type = 'Lock'"
ADD_NOTE = """op.add_column("example_items", sa.Column("note", sa.Text()))"""
INDEX_ONLINE = re.search(r"```python\n.*?:\n(.*?)```", (FILES / "CHECKLIST.md").read_text("utf-8"), re.DOTALL)[1]


class Project:
    """A project written into a folder of its own, and the database that DATABASE_URL names."""

    def __init__(self, folder: Path, database, server, program: Forked):
        self.folder, self.session, self.server, self.program = folder, database, server, program
        self.begun: list[subprocess.Popen] = []
        url = server.database_url(database.info.dbname)
        kept = {name: os.environ[name] for name in ("HOME", "SYSTEMROOT", "TEMP", "TMPDIR") if name in os.environ}
        folders = (Path(sys.executable).parent, programs(), os.environ["PATH"])
        self.environment = {
            **kept,
            **environment(url),
            # As platforms hand it out, without SQLAlchemy's +psycopg.
            "DATABASE_URL": url.set(drivername="postgresql").render_as_string(hide_password=False),
            "PATH": os.pathsep.join(map(str, folders)),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        write_project(folder)

    def begin(self, module: str, *arguments: str, **variables: str) -> subprocess.Popen:
        return self._popen([sys.executable, "-c", WITHOUT_THE_KIT, module, *arguments], variables)

    def _popen(self, command: list, variables: dict[str, str]) -> subprocess.Popen:
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=self.folder,
            env=self.environment | variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )
        self.begun.append(process)
        return process

    def run(self, *command, **variables: str) -> str:
        """What a command that goes well prints."""
        return ended(self._popen(list(command), variables))

    def alembic(self, *arguments: str, **variables: str) -> str:
        if not hasattr(os, "fork"):
            return ended(self.begin("alembic", *arguments, **variables))
        said, status = self.program.run(arguments, self.folder, self.environment | variables)
        assert status == 0, said
        return said

    def revision(self, name: str, upgrade: str, downgrade: str = "pass", down: str = "001_add_example_table") -> Path:
        path = self.folder / "migrations" / "versions" / f"{name}.py"
        text = REVISION.format(revision=name, down=down, upgrade=upgrade.strip(), downgrade=downgrade)
        path.write_text(text.lstrip(), encoding="utf-8")
        return path

    def value(self, query: str):
        return self.session.execute(query).fetchone()[0]

    def version(self) -> str:
        return self.value("SELECT version_num FROM alembic_version")

    @contextmanager
    def holding(self, statement: str):
        """A transaction of somebody else's that stays open after this statement."""
        with self.server.connect(self.session.info.dbname, autocommit=False) as session:
            session.execute(statement)
            yield session
            session.rollback()


def ended(process: subprocess.Popen, status: int = 0) -> str:
    said = process.communicate(timeout=60)[0]
    assert process.returncode == status or (status and process.returncode), said
    return said


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """Alembic's program without the kit, which starts once: hundreds of starts would take minutes."""
    with Forked(tmp_path_factory.mktemp("program"), THE_KIT) as forked:
        yield forked


@pytest.fixture
def project(tmp_path, database, running, program) -> Project:
    project = Project(tmp_path / "Zoë's shop", database, running, program)
    yield project
    for process in project.begun:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def head(tmp_path_factory) -> str:
    """The SQL of all its revisions, which needs no database."""
    folder = tmp_path_factory.mktemp("sql") / "project"
    write_project(folder)
    command = [sys.executable, "-m", "alembic", "upgrade", "head", "--sql"]
    variables = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    run = subprocess.run(command, cwd=folder, env=variables, capture_output=True, check=True, encoding="utf-8")
    return run.stdout


@pytest.fixture
def upgraded(project, head) -> Project:
    """A project whose database is at its head, by the SQL that it writes."""
    project.session.execute(head)
    return project


# It works


def test_nothing_in_it_knows_this_kit():
    for file in files_in(FILES):
        assert not re.search(r"migration.?lab|\blab\b", file.read_text("utf-8"), re.IGNORECASE), file


def test_up_down_and_up(project):
    """The docstring's first line is what history prints; the way back leaves nothing but Alembic's own table."""
    start = snapshot(project.session)
    project.alembic("upgrade", "head")
    top = snapshot(project.session)
    assert {"users", "example_items"} <= {name.split(".")[-1] for name in top.tables}
    assert project.alembic("check").endswith("No new upgrade operations detected.\n")
    assert [line for line in project.alembic("history").splitlines() if " INFO " not in line] == [
        "000_add_users -> 001_add_example_table (head), Add example table",
        "<base> -> 000_add_users, Add users",
    ]
    project.alembic("downgrade", "base")
    assert diff(start, snapshot(project.session)) == []
    project.alembic("upgrade", "head")
    assert diff(top, snapshot(project.session)) == []


def test_its_sql_does_the_same(project, head, tmp_path):
    """psql on a fresh database reaches what Alembic reaches; the timeouts are written in, and no URL is needed."""
    script = tmp_path / "head.sql"
    script.write_text(head, encoding="utf-8")
    project.run("psql", "-q", "-v", "ON_ERROR_STOP=1", "-f", script)
    assert head.startswith("SET lock_timeout = '1500ms';\n\nSET statement_timeout = '15min';\n\nBEGIN;")
    assert head.count("BEGIN;") == head.count("COMMIT;") == 2, "each revision has a transaction of its own"
    by_psql = snapshot(project.session)
    project.alembic("downgrade", "base")
    project.alembic("upgrade", "head")
    assert diff(by_psql, snapshot(project.session)) == []


def test_the_models_alembic_and_the_database_agree_where_a_name_is_made(upgraded):
    """op.create_table takes its names from the models' convention; else a later drop_constraint misses."""
    names = upgraded.session.execute(
        "SELECT conname FROM pg_constraint WHERE conrelid = 'example_items'::regclass AND contype <> 'n' ORDER BY 1"
    ).fetchall()
    assert [name.removeprefix("ck_example_items_") for (name,) in names] == [
        "description_up_to_500_characters",
        "name_1_to_100_characters",
        "price_zero_or_more",
        "quantity_zero_or_more",
        "fk_example_items_user_id",
        "pk_example_items",
    ]
    assert upgraded.value("SELECT count(*) FROM pg_index WHERE indrelid = 'example_items'::regclass") == 4


@pytest.mark.parametrize(
    ("columns", "values", "refused"),
    [
        ("price", "0", None),
        ("price", "'NaN'", "price_zero_or_more"),
        ("price", "-0.01", "price_zero_or_more"),
        ("quantity", "-1", "quantity_zero_or_more"),
        ("deleted_at", "now()", None),
    ],
)
def test_what_the_table_takes(upgraded, columns, values, refused):
    upgraded.session.execute("INSERT INTO users (email) VALUES ('zoe@example.org')")
    insert = f"INSERT INTO example_items (user_id, name, {columns}) VALUES (1, 'pen', {values})"
    if refused:
        with pytest.raises(Exception, match=f"ck_example_items_{refused}"):
            upgraded.session.execute(insert)
    else:
        upgraded.session.execute(insert)


def test_deleted_names_are_free_and_updates_are_dated(upgraded):
    run = upgraded.session.execute
    run("INSERT INTO users (email) VALUES ('zoe@example.org')")
    run("INSERT INTO example_items (user_id, name) VALUES (1, 'pen')")
    with pytest.raises(Exception, match="uq_example_items_user_id_name_live"):
        run("INSERT INTO example_items (user_id, name) VALUES (1, 'pen')")
    run("UPDATE example_items SET deleted_at = now()")
    run("INSERT INTO example_items (user_id, name) VALUES (1, 'pen')")
    assert upgraded.value("SELECT updated_at > created_at FROM example_items WHERE deleted_at IS NOT NULL")


def test_the_next_revision_from_script_py_mako(upgraded):
    """By hand or by autogenerate: Python that runs, under the path that one would `git add`."""
    upgraded.alembic("revision", "--rev-id", "002_empty", "-m", "Say nothing yet")
    models = upgraded.folder / "models.py"
    column = "    nickname: Mapped[str | None] = mapped_column(sa.Text)\n    email:"
    models.write_text(models.read_text("utf-8").replace("    email:", column, 1), encoding="utf-8")
    upgraded.alembic("upgrade", "head")
    upgraded.session.execute("CREATE TABLE of_another_program (id int)")
    upgraded.alembic("revision", "--autogenerate", "--rev-id", "003_nickname", "-m", "Add a nickname")
    text = (upgraded.folder / "migrations/versions/003_nickname.py").read_text("utf-8")
    assert text.startswith('"""Add a nickname\n\nLocks: ')
    assert "of_another_program" not in text
    assert re.search(r"Create Date: .*\+00:00", text)
    upgraded.alembic("upgrade", "head")
    upgraded.alembic("check")
    upgraded.alembic("downgrade", "002_empty")
    said = ended(upgraded.begin("alembic", "downgrade", "-1"), status=1)
    assert said.endswith("NotImplementedError: TODO: the way back, or why there is none\n")
    assert upgraded.version() == "002_empty"


def test_a_merge_has_a_way_back(upgraded):
    """Alembic writes a merge from the same template, and there is nothing to undo in it."""
    upgraded.revision("002_left", "pass")
    upgraded.revision("002_right", "pass")
    upgraded.alembic("merge", "heads", "--rev-id", "003_merge", "-m", "Merge left and right")
    upgraded.alembic("upgrade", "head")
    upgraded.alembic("downgrade", "001_add_example_table")


@pytest.mark.skipif(os.name == "nt" or not shutil.which("git"), reason="needs bash and git")
def test_its_ci_recipe(project, tmp_path):
    """Every step but pip's, as the runner would: where a branch with a revision was merged, then with a stray one."""
    recipe = yaml.safe_load((project.folder / "ci.yml").read_text("utf-8"))
    steps = {step.get("name"): step["run"] for step in recipe["jobs"]["migrations"]["steps"] if "run" in step}
    zoe = ("-c", "user.name=Zoë", "-c", "user.email=zoe@example.org")
    for arguments in (
        ("init", "-q", "-b", "main"),
        ("add", "."),
        (*zoe, "commit", "-qm", "Begin"),
        ("switch", "-q", "-c", "note"),
    ):
        project.run("git", *arguments)
    down = """op.drop_column("example_items", "note")"""
    models = project.folder / "models.py"
    column = "    note: Mapped[str | None] = mapped_column(sa.Text)\n    is_active:"
    models.write_text(models.read_text("utf-8").replace("    is_active:", column, 1), encoding="utf-8")
    project.revision("002_note", ADD_NOTE, down)
    for arguments in (
        ("add", "."),
        (*zoe, "commit", "-qm", "Add a note"),
        ("switch", "-q", "--detach", "main"),
        (*zoe, "merge", "-q", "--no-ff", "note"),
    ):
        project.run("git", *arguments)
    runner = {"RUNNER_TEMP": str(tmp_path), "PROJECT": "."}
    bash = ("bash", "-e", "-o", "pipefail", "-c")
    said = {name: project.run(*bash, step, **runner) for name, step in steps.items() if name}
    assert "5 passed" in said["Up, down and up again"]
    new = (tmp_path / "new.sql").read_text("utf-8")
    assert "note" in new
    assert "example_items (user_id" not in new, "only what is new"
    assert (
        project.value("SELECT count(*) FROM pg_database WHERE datname LIKE current_database() || '_migration_tests'")
        == 0
    )

    project.revision("002_stray", "pass")
    stray = project._popen(["bash", "-c", steps["There is one head"]], runner)
    assert "There is to be one" in ended(stray, status=1)


def test_squawk_finds_nothing_in_its_sql(head, tmp_path):
    """But for the varchar of alembic_version, and the transactions, which it overlooks where a file has several."""
    script = tmp_path / "head.sql"
    script.write_text(head, encoding="utf-8")
    squawk = Path(sys.executable).with_name("squawk")
    command = [squawk, "--reporter=gcc", "--exclude", "prefer-robust-stmts", script]
    run = subprocess.run(command, capture_output=True, text=True)
    (found,) = run.stdout.splitlines()
    assert "prefer-text-field" in found
    assert int(found.split(":")[1]) < head[: head.index("-- Running")].count("\n")


def test_the_exercise_has_these_models_and_one_column_more():
    """Its other files are this project's own."""
    exercise = find_exercise("own_revision")
    assert exercise.project == "take_home"
    models = set((FILES / "models.py").read_text("utf-8").splitlines())
    assert models < set((exercise.folder / "starter" / "models.py").read_text("utf-8").splitlines())


# Others are at work


def test_two_runners_at_once(project):
    """Two pods of one deployment start in the same second: the second finds the work done, and both go well."""
    runners = [project.begin("alembic", "upgrade", "head") for _ in range(2)]
    said = sorted((ended(runner) for runner in runners), key=len)
    assert [one.count("Running upgrade") for one in said] == [0, 2]
    assert project.version() == "001_add_example_table"


# The server has other databases, in which other tests build.
BUILDING = "SELECT count(*) FROM pg_stat_progress_create_index WHERE datname = current_database()"


def test_a_second_runner_waits_beside_an_index_that_is_built_online(upgraded):
    """CREATE INDEX CONCURRENTLY waits for older transactions; a runner that waits in one would be in a deadlock."""
    upgraded.revision("002_index", INDEX_ONLINE.replace("orders", "example_items"))
    upgraded.revision(
        "003_note", "assert op.get_bind().scalar(sa.text('SHOW lock_timeout')) == '1500ms'", down="002_index"
    )
    with upgraded.holding("INSERT INTO users (email) VALUES ('zoe@example.org')") as writer:
        writer.execute("INSERT INTO example_items (user_id, name) VALUES (1, 'pen')")
        first = upgraded.begin("alembic", "upgrade", "head")
        wait_until(lambda: upgraded.value(BUILDING))
        second = upgraded.begin("alembic", "upgrade", "head")
        waits = []
        threading.Thread(target=lambda: waits.extend(iter(second.stdout.readline, "")), daemon=True).start()
        wait_until(lambda: any("Another runner is migrating this database" in line for line in waits))
        assert upgraded.alembic("current").endswith("001_add_example_table\n"), "who only looks need not wait"
        time.sleep(1.5)  # longer than lock_timeout, and than deadlock_timeout
        writer.commit()
        assert "Running upgrade 002_index -> 003_note" in ended(first)
        assert second.wait(timeout=30) == 0, waits
    assert not any("Running upgrade" in line for line in waits)
    assert upgraded.value("SELECT bool_and(indisvalid) FROM pg_index") is True
    assert upgraded.version() == "003_note"


def test_a_second_runner_does_not_wait_for_ever(upgraded):
    with upgraded.holding(f"SELECT pg_advisory_lock({int.from_bytes(b'alembic', 'big')})"):
        said = ended(upgraded.begin("alembic", "-x", "runner_wait=0", "upgrade", "head"), status=255)
    assert "FAILED: Another runner has been migrating this database for 0 s. Nothing was done here" in said


def test_a_lock_that_is_not_free_is_waited_for_politely(upgraded):
    """A report stays for a while; readers behind the migration wait for lock_timeout at most, and it is applied."""
    upgraded.revision("002_note", ADD_NOTE)
    stalls = []
    with upgraded.holding("SELECT count(*) FROM example_items") as report:
        runner = upgraded.begin("alembic", "upgrade", "head", MIGRATION_LOCK_TIMEOUT="300ms")
        wait_until(lambda: upgraded.value(f"SELECT count(*) FROM pg_stat_activity WHERE {WAITING_FOR_A_LOCK}"), 20)
        held = time.monotonic()
        while time.monotonic() - held < 2.5:
            begun = time.monotonic()
            upgraded.session.execute("SELECT count(*) FROM example_items")
            stalls.append(time.monotonic() - begun)
            time.sleep(0.01)
        held = time.monotonic() - held
        assert upgraded.version() == "001_add_example_table"
        report.rollback()
        said = ended(runner)
    assert re.search(r"due to lock timeout in: ALTER TABLE .* Try 1 of 10, the next in \d\.\d s\.", said)
    assert 0.3 / 3 < max(stalls) < held / 2, "a part of lock_timeout at least, and far from as long as the report stays"
    assert upgraded.version() == "002_note"


def test_a_lock_that_is_never_free_ends_in_a_sentence(upgraded):
    """What was committed before stays, and nothing is half done."""
    upgraded.revision("002_city", """op.add_column("users", sa.Column("city", sa.Text()))""")
    upgraded.revision("003_note", ADD_NOTE, down="002_city")
    settings = {"MIGRATION_LOCK_TIMEOUT": "100ms", "MIGRATION_LOCK_TRIES": "2"}
    with upgraded.holding("SELECT count(*) FROM example_items"):
        said = ended(upgraded.begin("alembic", "upgrade", "head", **settings), status=255)
    assert "FAILED: Gave up after 2 tries: canceling statement due to lock timeout in: ALTER TABLE" in said
    assert "Traceback" not in said
    assert upgraded.version() == "002_city"


def test_steps_that_are_counted_are_not_counted_twice(upgraded):
    """`downgrade -2`, tried again after the first step, would go one revision too far, and lose its rows."""
    upgraded.revision("002_city", """op.add_column("users", sa.Column("city", sa.Text()))""")
    drop = """op.drop_column("example_items", "note")"""
    upgraded.revision("003_note", ADD_NOTE, drop, down="002_city")
    upgraded.revision("004_last", "pass", down="003_note")
    upgraded.alembic("upgrade", "head")
    with upgraded.holding("SELECT count(*) FROM example_items"):
        command = ("alembic", "-x", "lock_timeout=100ms", "downgrade", "-2")
        said = ended(upgraded.begin(*command), status=255)
    assert "FAILED: Stopped: canceling statement due to lock timeout" in said
    assert "Name the revision to go to, and run this again." in said
    assert upgraded.version() == "003_note"


def test_a_real_error_is_tried_once(upgraded):
    upgraded.revision("002_wrong", """op.drop_column("example_items", "colour")""")
    said = ended(upgraded.begin("alembic", "upgrade", "head"), status=1)
    assert 'column "colour" of relation "example_items" does not exist' in said
    assert "Try 1" not in said


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"DATABASE_URL": ""}, "DATABASE_URL is no URL; expected is one such as postgresql://me@host/database."),
        (
            {"DATABASE_URL": "mysql://me@host/shop"},
            "DATABASE_URL is one of mysql; these migrations are for PostgreSQL.",
        ),
        (
            {"DATABASE_URL": "postgresql://me:secret@127.0.0.1:1/shop"},
            "No session at postgresql+psycopg://me:***@127.0.0.1:1/shop: connection failed:",
        ),
        ({"MIGRATION_LOCK_TIMEOUT": "soon"}, "lock_timeout is 'soon'; expected is a time such as 300ms, 2s or 15min"),
        ({"MIGRATION_LOCK_TRIES": "0"}, "lock_tries is '0'; expected is a number from 1."),
    ],
    ids=str,
)
def test_a_setting_that_is_wrong_is_named(project, variables, sentence):
    assert f"FAILED: {sentence}" in ended(project.begin("alembic", "upgrade", "head", **variables), status=255)


def test_a_setting_that_is_misspelt_is_not_passed_over(project):
    said = ended(project.begin("alembic", "-x", "lock_timout=5s", "upgrade", "head"), status=255)
    assert "FAILED: There is no setting lock_timout; -x knows lock_timeout, statement_timeout," in said


@pytest.mark.parametrize(
    ("id", "sentence"),
    [
        ("001_add_example_table", "There is a revision 001_add_example_table already. Choose another --rev-id."),
        ("002_a_name_longer_than_the_column_takes", "is no good --rev-id"),
        ("a/b", "is no good --rev-id"),
    ],
)
@pytest.mark.parametrize("how", [(), ("--autogenerate",)], ids=str)
def test_an_id_that_is_no_good_writes_nothing(upgraded, id, sentence, how):
    """The file is named by the id: one that is taken replaced a revision that had been applied."""
    versions = upgraded.folder / "migrations" / "versions"
    before = content_digest(versions)
    said = ended(upgraded.begin("alembic", "revision", *how, "--rev-id", id, "-m", "Again"), status=255)
    assert sentence in said
    assert content_digest(versions) == before


# The card of locks is true

CARD = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (FILES / "LOCKS.md").read_text("utf-8").split("| statement |")[1].splitlines()[2:]
]
MODES = {
    "AX": "AccessExclusiveLock",
    "SRX": "ShareRowExclusiveLock",
    "S": "ShareLock",
    "SUX": "ShareUpdateExclusiveLock",
    "ROW SHARE": "RowShareLock",
    "row locks": "RowExclusiveLock",
}
BLOCKED = {"AX": "all", "SRX": "writes", "S": "writes", "SUX": "nobody"}
PLACES = {"": "t", "both": "tp", "both tables": "tp", "the parent": "p", "the partition": "p"}
TABLES = """
    DROP TABLE IF EXISTS t, u, p;
    CREATE TABLE p (id int PRIMARY KEY);
    CREATE TABLE t (id int PRIMARY KEY, p int, a int, s varchar(10), x text, w timestamp);
    INSERT INTO p SELECT generate_series(1, 100);
    INSERT INTO t SELECT n, 1 + n % 100, n, n, n, now() FROM generate_series(1, 20000) AS n;
"""
PARTITIONED = "DROP TABLE t; CREATE TABLE t (id int NOT NULL) PARTITION BY RANGE (id)"
PROOF = "ALTER TABLE t ADD CONSTRAINT proof CHECK (a IS NOT NULL)"
KEY = "ALTER TABLE t ADD CONSTRAINT key FOREIGN KEY (p) REFERENCES p"
UNIQUE = "CREATE UNIQUE INDEX i ON t (a)"
FOLLOW = "CREATE TRIGGER o BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()"
CONCURRENTLY = UNIQUE.replace("INDEX", "INDEX CONCURRENTLY")
# What the card calls a statement → what is there before it, and the statements that it speaks of.
SPOKEN_OF = {
    "ADD COLUMN: no default, a constant, `now()`": (
        "",
        "ALTER TABLE t ADD b int",
        "ALTER TABLE t ADD b int NOT NULL DEFAULT 7",
        "ALTER TABLE t ADD b timestamptz DEFAULT now()",
    ),
    "ADD COLUMN: volatile default, identity, STORED": (
        "",
        "ALTER TABLE t ADD b uuid DEFAULT gen_random_uuid()",
        "ALTER TABLE t ADD b int GENERATED ALWAYS AS IDENTITY",
        "ALTER TABLE t ADD b int GENERATED ALWAYS AS (a + 1) STORED",
    ),
    "SET NOT NULL": ("", "ALTER TABLE t ALTER a SET NOT NULL"),
    "SET NOT NULL where a valid CHECK proves it": (PROOF, "ALTER TABLE t ALTER a SET NOT NULL"),
    "SET NOT NULL and DROP of that CHECK in one command": (
        PROOF,
        "ALTER TABLE t ALTER a SET NOT NULL, DROP CONSTRAINT proof",
    ),
    "ADD CHECK": ("", PROOF),
    "ADD CHECK NOT VALID": ("", f"{PROOF} NOT VALID"),
    "ADD NOT NULL NOT VALID (from PostgreSQL 18)": ("", "ALTER TABLE t ADD NOT NULL a NOT VALID"),
    "VALIDATE CONSTRAINT of a CHECK": (f"{PROOF} NOT VALID", "ALTER TABLE t VALIDATE CONSTRAINT proof"),
    "VALIDATE CONSTRAINT of a NOT NULL (from PostgreSQL 18)": (
        "ALTER TABLE t ADD CONSTRAINT proof NOT NULL a NOT VALID",
        "ALTER TABLE t VALIDATE CONSTRAINT proof",
    ),
    "ADD FOREIGN KEY": ("", KEY),
    "ADD FOREIGN KEY NOT VALID": ("", f"{KEY} NOT VALID"),
    "VALIDATE CONSTRAINT of a foreign key": (f"{KEY} NOT VALID", "ALTER TABLE t VALIDATE CONSTRAINT key"),
    "CREATE TABLE with a foreign key": ("", "CREATE TABLE u (p int REFERENCES p)"),
    "CREATE INDEX": ("", UNIQUE),
    "CREATE INDEX CONCURRENTLY": ("", CONCURRENTLY),
    "ADD UNIQUE": ("", "ALTER TABLE t ADD UNIQUE (a)"),
    "ADD UNIQUE USING INDEX": (UNIQUE, "ALTER TABLE t ADD UNIQUE USING INDEX i"),
    "DROP INDEX": (UNIQUE, "DROP INDEX i"),
    "DROP INDEX CONCURRENTLY, REINDEX CONCURRENTLY": (
        UNIQUE,
        "DROP INDEX CONCURRENTLY i",
        "REINDEX INDEX CONCURRENTLY i",
    ),
    "CREATE TRIGGER": ("", FOLLOW),
    "RENAME, DROP COLUMN, DROP of a CHECK, SET DEFAULT, DROP NOT NULL, DROP TRIGGER": (
        f"{PROOF}; {FOLLOW}; ALTER TABLE t ALTER x SET NOT NULL",
        "ALTER TABLE t RENAME a TO b",
        "ALTER TABLE t DROP COLUMN s",
        "ALTER TABLE t DROP CONSTRAINT proof",
        "ALTER TABLE t ALTER a SET DEFAULT 7",
        "ALTER TABLE t ALTER x DROP NOT NULL",
        "DROP TRIGGER o ON t",
    ),
    "DROP FOREIGN KEY, DROP TABLE of a child": (KEY, "ALTER TABLE t DROP CONSTRAINT key", "DROP TABLE t"),
    "varchar wider, varchar to text": ("", "ALTER TABLE t ALTER s TYPE varchar(20)", "ALTER TABLE t ALTER s TYPE text"),
    "varchar narrower, int to bigint, text to int": (
        "",
        "ALTER TABLE t ALTER s TYPE varchar(5)",
        "ALTER TABLE t ALTER a TYPE bigint",
        "ALTER TABLE t ALTER x TYPE int USING x::int",
    ),
    "timestamp to timestamptz, session in UTC, no USING": ("", "ALTER TABLE t ALTER w TYPE timestamptz"),
    "the same, with an index on the column": ("CREATE INDEX ON t (w)", "ALTER TABLE t ALTER w TYPE timestamptz"),
    "the same with `USING … AT TIME ZONE`": ("", "ALTER TABLE t ALTER w TYPE timestamptz USING w AT TIME ZONE 'UTC'"),
    "ATTACH PARTITION": (PARTITIONED, "ALTER TABLE t ATTACH PARTITION p FOR VALUES FROM (1) TO (1000)"),
    "ALTER TYPE … ADD VALUE": (
        "DROP TYPE IF EXISTS word CASCADE; CREATE TYPE word AS ENUM ('a'); ALTER TABLE t ADD b word",
        "ALTER TYPE word ADD VALUE 'b'",
    ),
    "TRUNCATE": ("", "TRUNCATE t"),
    "VACUUM FULL, CLUSTER": ("", "VACUUM FULL t", "CLUSTER t USING t_pkey"),
    "UPDATE of every row": ("", "UPDATE t SET a = a + 1"),
}


@pytest.mark.parametrize(("statement", "locks", "work", "blocks"), CARD, ids=[row[0] for row in CARD])
def test_the_card_of_locks_says_what_the_server_does(statement, locks, work, blocks, database, running):
    """Each row is tried, and x-ray says which locks it takes, and whether it reads or writes all rows under them."""
    if "from PostgreSQL 18" in statement and database.info.server_version < 180000:
        pytest.skip("this server has no such statement")
    before, *statements = SPOKEN_OF[statement]
    works = work.split(", ") if len(statements) == 2 and ", " in work else [work] * len(statements)
    for one, does in zip(statements, works, strict=True):
        database.execute(TABLES)
        database.execute(before)
        with beside_a_reader(running, database.info.dbname, one):
            trace = xrayed(one, running.database_url(database.info.dbname))
        (seen,) = trace.statements
        assert bool(seen.rewrote) == ("rewrite" in does), one
        assert bool(seen.scanned or seen.built) == any(word in does for word in ("rewrite", "scan", "built")), one
        assert {held.relation: held.mode for held in reversed(trace.held)} == promised(locks), one
        if locks in BLOCKED:
            long = "for long" if "scan" in does or "rewrite" in does else "for a moment"
            assert blocks.startswith("nobody" if locks == "SUX" else f"{BLOCKED[locks]}, {long}")


@contextmanager
def beside_a_reader(running, database: str, statement: str):
    """For a concurrent statement, a transaction that it waits for: outside of one of its own, x-ray sees by looking often."""
    if "CONCURRENTLY" not in statement:
        yield
        return
    with running.connect(database) as reader, running.connect(database) as look:
        reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT count(*) FROM t")
        with committing(reader, look, 0.5):
            yield


def promised(locks: str) -> dict[str, str]:
    """The card's word for its locks, as relations and modes."""
    if locks == "–":
        return {}
    parts = [part.partition(" on ") for part in locks.split("; ")]
    return {f"public.{table}": MODES[mode] for mode, _, place in parts for table in PLACES[place]}


def xrayed(statement: str, url) -> Trace:
    """One statement in a transaction, or outside of any where the server wants it so."""
    alone = re.search("CONCURRENTLY|VACUUM", statement)
    options = {"options": "-c timezone=UTC"}
    engine = create_engine(url, poolclass=pool.NullPool, connect_args=options)
    with watching(statement) as trace, engine.connect() as session:
        if alone:
            session.execution_options(isolation_level="AUTOCOMMIT")
        session.exec_driver_sql(statement)
        session.commit()
    return trace


# It overwrites nothing


@pytest.fixture
def lab_template(workspace, capsys, tmp_path, monkeypatch):
    """``lab_template("shop")`` in an empty folder → (exit status, what it printed, what it said on stderr)."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(["template", *arguments])
        return status, *map(str.strip, capsys.readouterr())

    return run


def test_it_says_what_it_wrote_and_what_is_next(lab_template):
    status, said, _ = lab_template("one/my shop")
    names = [path.relative_to("one/my shop").as_posix() for path in files_in(Path("one/my shop"))]
    assert status == 0
    assert said.splitlines() == [
        "Written into one/my shop:",
        *(f"  {name}" for name in names),
        "Next: cd 'one/my shop', set DATABASE_URL to an empty database, and: alembic upgrade head",
    ]
    assert "migrations/versions/001_add_example_table.py" in names


def test_a_folder_with_other_files_keeps_them(lab_template):
    Path("tests").mkdir()
    Path("tests/test_mine.py").write_text("mine", encoding="utf-8")
    assert lab_template(".")[0] == 0
    assert Path("tests/test_mine.py").read_text("utf-8") == "mine"
    assert Path("tests/test_migrations.py").exists()


@pytest.mark.parametrize("name", ["models.py", "migrations/env.py"])
def test_where_one_of_its_files_is_there_nothing_is_written(lab_template, name):
    path = Path("shop", name)
    path.parent.mkdir(parents=True)
    path.write_text("mine", encoding="utf-8")
    before = content_digest(Path())
    status, said, refusal = lab_template("shop")
    assert (status, said) == (1, "")
    assert refusal.startswith(f"In shop there is already: {name}. Nothing was written.")
    assert content_digest(Path()) == before


@pytest.mark.parametrize(("there", "folder"), [("shop", "shop"), ("shop", "shop/db"), ("shop/migrations", "shop")])
def test_a_file_where_a_folder_is_needed_is_told(lab_template, there, folder):
    Path(there).parent.mkdir(exist_ok=True)
    Path(there).write_text("mine", encoding="utf-8")
    refusal = f"{there} is a file, and a folder is needed there. Nothing was written. Choose another folder."
    assert lab_template(folder) == (1, "", refusal)
    assert Path(there).read_text("utf-8") == "mine"


def test_without_a_folder_it_asks_for_one(lab_template):
    assert lab_template() == (1, "", "Into which folder? For example: lab template my_project")


def test_a_full_disk_leaves_no_half(small_disk, lab_template):
    """Half a project would be in the way of the next try, which overwrites nothing."""
    with pytest.raises(OSError), open(small_disk / "big", "wb", buffering=0) as big:
        while True:
            big.write(b"0" * 4096)
    os.truncate(small_disk / "big", (small_disk / "big").stat().st_size - 16384)  # room for a few of its files
    status, _, refusal = lab_template(str(small_disk / "shop"))
    assert status == 1
    assert refusal.endswith("No space left on device. Make room on the disk, then try again.")
    assert not (small_disk / "shop").exists()


def test_a_folder_that_is_not_yours_is_a_sentence(ordinary_user, lab):
    become, home = ordinary_user
    others = home / "not yours"
    others.mkdir(mode=0o755)
    process = lab("template", others / "shop", command=become, LAB_WORK=home)
    assert process.returncode == 1
    assert process.said.strip() == f"{others / 'shop'}: Permission denied. Check that you may write there."
