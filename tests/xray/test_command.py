"""`%alembic` is Alembic's command line: the same output and the same success as the program, only in this process.

What a learner sees in a notebook must be what they will see in a terminal, and what a command leaves behind in a
process that goes on must be nothing. Alembic's program says the same stories, see program.py.
"""

from __future__ import annotations

import io
import logging
import os
import re
import shlex
import sys
import threading
import warnings
from _thread import interrupt_main
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent

import pytest
import sqlalchemy as sa
from alembic.config import CommandLine
from tests.waiting import wait_until
from tests.xray.program import Forked, spawn

from migration_lab.server import startstate
from migration_lab.server.postgres import environment
from migration_xray import command
from migration_xray.command import AlembicError

ENV = "migrations/env.py"
REVISION = "migrations/versions/0004.py"
TELLING_ENV = "print('-x', context.get_x_argument(), '--tag', context.get_tag_argument())\n"
MODELS = """
import sqlalchemy as sa

metadata = sa.MetaData()
sa.Table("notes", metadata, sa.Column("id", sa.Integer, primary_key=True))
"""


def revision(name: str, down: str | None, upgrade: str = "pass", title: str = "Something") -> str:
    return f'''"""{title}."""
import os, pathlib, sys, time
import sqlalchemy as sa
from alembic import op
revision = {name!r}
down_revision = {down!r}


def upgrade():
{indent(dedent(upgrade), "    ")}
'''


class Stage:
    """A start state's project, or an empty folder, and an empty database."""

    def __init__(self, running, project: Path, database: str, start: str | None = "small"):
        self.project, self.database = project, database
        project.mkdir(parents=True)
        if start:
            startstate.lay_project(project, start)
        self.variables = environment(running.database_url(database)) | {"COLUMNS": "80", "EDITOR": "true"}

    def write(self, name: str, text: str) -> None:
        path = self.project / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def add(self, upgrade: str, **named) -> None:
        """Write revision 0004 of the shop."""
        self.write(REVISION, revision("0004", "0003_orders", upgrade, **named))

    def replace(self, name: str, *change: str) -> None:
        self.write(name, (self.project / name).read_text(encoding="utf-8").replace(*change))

    def told(self, program: Callable[..., tuple[str, int]], line: str) -> Said:
        """What Alembic's program says to a command line here."""
        printed, status = program(shlex.split(line), self.project, os.environ | self.variables)
        return Said(self.comparable(printed), status)

    def run(self, line: str, output: io.StringIO | None = None) -> Said:
        output, error = output or io.StringIO(), None
        try:
            with startstate.variables(self.variables):
                command.run(shlex.split(line), self.project, output)
        except AlembicError as failure:
            error = failure
        return Said(self.comparable(output.getvalue()), int(error is not None), error)

    def comparable(self, text: str) -> str:
        """Without what is said to differ, a project's path, and without the clock's and this stage's own names."""
        text = text.replace(f"{self.project}{os.sep}", "").replace(self.database, "DATABASE")
        return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+", "NOW", text)


@dataclass
class Said:
    """What a command printed, its exit status, and how it failed (told in this process only)."""

    text: str
    status: int
    error: AlembicError | None = None


@pytest.fixture(scope="module")
def stages(running, tmp_path_factory):
    """A function that makes a Stage, on the database of this name; they are dropped after the tests of this file."""
    made = {}

    def make(database: str, start: str | None = "small") -> Stage:
        if database not in made:
            made[database] = f"stage_{os.getpid()}_{len(made)}"
            startstate.create_database(running, made[database], "empty")
        with running.connect(made[database]) as session:
            session.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        return Stage(running, tmp_path_factory.mktemp("stage") / "Zoë's [shop]+", made[database], start)

    yield make
    with running.connect() as session:
        for name in made.values():
            startstate.drop_database(session, name)


@pytest.fixture
def stage(stages) -> Stage:
    return stages("the tests'")


@pytest.fixture
def sessions(running, stage):
    """A function that says which sessions are in the stage's database: (application's name, state) of each."""
    query = "SELECT application_name, state FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()"
    with running.connect() as session:
        yield lambda: session.execute(query, [stage.database]).fetchall()


# The very command line

# Each story is told to one project and one database, by the program and by this process.
STORIES = {
    "looking at a project": """
        upgrade head
        current
        current -v
        current --check-heads
        history
        history -v -i
        history -r 0001_users:0002_products
        heads -v
        branches
        show 0002_products
        show head
        edit head
        check
    """,
    "up and down": """
        upgrade 0001_users
        upgrade +1
        downgrade -1 --tag why
        -x colour=red -x plain upgrade head
        -q downgrade base
        stamp head
        stamp --purge 0001_users
        current --check-heads
        upgrade head --sql
        downgrade 0003_orders:0002_products --sql
        ensure_version --sql
        ensure_version
    """,
    "branches": """
        revision -m "it's a city" --rev-id 0004_city
        revision -m "another way" --rev-id 0004_other --head 0003_orders --splice --branch-label other
        branches
        upgrade head
        revision -m lost --rev-id 0005
        upgrade heads
        merge heads -m together --rev-id 0005_merge
        history -r 0003_orders:
    """,
    "models": """
        revision --autogenerate -m notes --rev-id 0001_notes
        check
        upgrade head
        check
    """,
    "a migration that fails": """
        upgrade head
        current
    """,
    "beginning a project": """
        list_templates
        init migrations
        init migrations
        init -t nonsense elsewhere
        -c elsewhere.ini heads
        -n elsewhere heads
        heads
    """,
    "asking wrongly": """
        --version
        --help
        upgrade --help
        -q
        nonsense
        upgrade
        upgrade head --nonsense
        upgrade nonsense
        downgrade -9
        history -r nonsense:
        revision --rev-id a-b
    """,
}
if os.name == "nt":
    STORIES["looking at a project"] = STORIES["looking at a project"].replace("edit head\n", "\n")


def commands(story: str) -> list[str]:
    return [line.strip() for line in STORIES[story].splitlines() if line.strip()]


def scene(stages, story: str) -> Stage:
    stage = stages(story, {"beginning a project": None, "models": "empty"}.get(story, "small"))
    if story == "up and down":
        stage.replace(ENV, "import os\n", f"import os\nfrom alembic import context\n{TELLING_ENV}")
    elif story == "models":
        stage.write("models.py", MODELS)
        stage.replace(ENV, "target_metadata = None", "from models import metadata as target_metadata")
    elif story == "a migration that fails":
        stage.add("""op.execute("INSERT INTO orders (user_id, total) VALUES (7, 1)")""")
    return stage


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Callable[..., tuple[str, int]]:
    """Alembic's program. Where a process can fork it starts once, for its start costs more than most of its commands."""
    if not hasattr(os, "fork"):
        yield spawn
        return
    with Forked(tmp_path_factory.mktemp("program")) as forked:
        yield forked.run


def test_every_subcommand_is_in_a_story():
    """A new version of Alembic may bring one that does not work in this process."""
    known = set(CommandLine().subparsers.choices)
    assert known <= {word for story in STORIES for line in commands(story) for word in line.split()} | {"edit"}


@pytest.mark.parametrize("story", STORIES)
def test_a_command_says_what_the_program_says(story, program, stages):
    stage = scene(stages, story)
    told = [stage.told(program, line) for line in commands(story)]
    stage = scene(stages, story)
    for line, there in zip(commands(story), told, strict=True):
        here = stage.run(line)
        assert bool(here.status) == bool(there.status), line
        in_order = (
            sorted if line == "branches" else list
        )  # whose lines stand as Python's hashes fall, process by process
        assert in_order(here.text.splitlines()) == in_order(without_failure(there, here.error).splitlines()), line


@pytest.mark.parametrize("story", ["models", "a migration that fails"])
def test_a_program_that_forks_is_the_program(story, program, stages):
    """The stories are told to a process that forks; that it says what the program itself says is seen to here."""
    stage = scene(stages, story)
    spawned = [stage.told(spawn, line) for line in commands(story)]
    stage = scene(stages, story)
    for line, there in zip(commands(story), spawned, strict=True):
        forked = stage.told(program, line)
        assert (without_traceback(forked.text), forked.status) == (without_traceback(there.text), there.status), line


def without_traceback(text: str) -> str:
    """Without the frames of a traceback, of which the program's first ones are its own."""
    return re.sub(r"(?m)^  .*\n", "", text)


def without_failure(there: Said, error: AlembicError | None) -> str:
    """What the program printed before it failed; that it failed for the reason that the error gives is seen to here."""
    if error is None:
        return there.text
    printed, fell, traceback = there.text.partition("Traceback (most recent call last):\n")
    if fell:
        kind, _, reason = error.sentence.splitlines()[0].partition(": ")
        assert kind in traceback and reason in traceback
        assert f'{error.where.partition(",")[0]}", line {error.where.rpartition(" ")[2]}, in ' in traceback
        return printed
    if error.sentence.startswith("FAILED: "):
        logged = error.sentence.replace("FAILED:", "ERROR [alembic.util.messaging]")
        assert error.sentence in printed.splitlines()
        return "".join(line for line in printed.splitlines(True) if line.strip() not in (error.sentence, logged))
    if there.status == 2:  # argparse refused the command line; here the error itself says why
        assert printed.endswith(f"\n{error.sentence}\n") and "usage: " not in error.sentence
        return printed.removesuffix(f"{error.sentence}\n")
    assert error.sentence == f"alembic ended with exit status {there.status} before it was done."
    return printed


def test_a_project_may_be_named_from_elsewhere(stage, tmp_path, monkeypatch):
    """In a terminal people write the path of alembic.ini; here the folder counts, wherever the kernel stands."""
    monkeypatch.chdir(tmp_path)
    assert stage.run(f"-c {shlex.quote(str(stage.project / 'alembic.ini'))} heads").text == "0003_orders (head)\n"
    assert stage.run("heads").text == "0003_orders (head)\n"
    assert Path.cwd() == tmp_path


def test_what_is_printed_comes_at_once_and_in_its_order(stage):
    """Standard error went past the notebook's cell, or came after all the rest."""
    stage.add(
        """
        print("one")
        print("two", file=sys.stderr)
        print("thr", end=""); print("ee", flush=True)
        sys.stdout.writelines(["fo", "ur\\n"])
        print(pathlib.Path("alembic.ini").resolve(), "five", end="")
        """
    )
    *_, log, one, two, three, four, five = stage.run("upgrade head").text.splitlines()
    assert log.endswith("Running upgrade 0003_orders -> 0004, Something.")
    assert [one, two, three, four, five] == ["one", "two", "three", "four", "alembic.ini five"]


# Errors


def failing(stage: Stage, line: str = "upgrade head") -> AlembicError:
    error = stage.run(line).error
    assert error is not None
    assert str(stage.project) not in str(error)
    return error


def test_postgresqls_own_words_with_the_line_of_the_migration(stage):
    stage.add("""op.execute("INSERT INTO orders (user_id, total) VALUES (7, 1)")""")
    error = failing(stage)
    assert error.sqlstate == "23503"
    assert str(error).splitlines() == [
        'ForeignKeyViolation: insert or update on table "orders" violates foreign key constraint "fk_orders_user_id"',
        '  DETAIL: Key (user_id)=(7) is not present in table "users".',
        f"""  in {REVISION}, line 10: op.execute("INSERT INTO orders (user_id, total) VALUES (7, 1)")""",
    ]


@pytest.mark.filterwarnings("ignore:Revision 0003 referenced from")
@pytest.mark.parametrize(
    ("files", "sentence", "where"),
    [
        ({REVISION: "def upgrade(:\n"}, "SyntaxError: invalid syntax", f"{REVISION}, line 1"),
        ({REVISION: revision("0004", "0003")}, "KeyError: '0003'", f"{ENV}, line 33"),
        ({REVISION: revision("0004", "0004")}, "FAILED: Self-loop is detected in revisions (0004)", None),
        ({REVISION: revision("0004", "0002_products")}, "FAILED: Multiple head revisions are present", None),
        ({ENV: "\nraise ValueError('no')"}, "ValueError: no", f"{ENV}, line 2"),
        ({ENV: "import modles"}, "ModuleNotFoundError: No module named 'modles'", f"{ENV}, line 1"),
        ({"alembic.ini": "[alembic"}, "MissingSectionHeaderError: File contains no section headers.", None),
        (
            {
                "helper.py": "def help(): raise ValueError('no help')",
                REVISION: revision("0004", "0003_orders", "import helper; helper.help()"),
            },
            "ValueError: no help",
            "helper.py, line 1",
        ),
        (
            {
                ".venv/site-packages/tool.py": "def work(): raise ValueError('bad tool')",
                REVISION: revision(
                    "0004", "0003_orders", "sys.path.append('.venv/site-packages'); import tool; tool.work()"
                ),
            },
            "ValueError: bad tool",
            f"{REVISION}, line 10",
        ),
    ],
    ids=["syntax", "unknown", "loop", "two heads", "env.py", "import", "ini", "helper", "installed"],
)
def test_an_error_leads_to_the_line_of_the_project_that_caused_it(stage, files, sentence, where):
    """Of sixty frames one is the learner's; that of their own helper, but not of what is installed in their .venv."""
    for name, text in files.items():
        for folder in reversed((stage.project / name).parents):
            folder.mkdir(exist_ok=True)
        stage.write(name, text)
    error = failing(stage)
    assert error.sentence.startswith(sentence)
    assert error.where == where


def test_a_project_that_is_gone_is_told_so(stage):
    stage.project.rename(stage.project.with_name("moved"))
    with pytest.raises(AlembicError, match="is not there any more. Open its lesson again"):
        command.run(["current"], stage.project, io.StringIO())


# What is left in a process that goes on

MEDDLING_ENV = """
from logging.config import fileConfig
import io, logging, os, sys, warnings
os.environ["MEDDLED"] = "yes"
del os.environ["COLUMNS"]
sys.path.insert(0, "/nowhere")
sys.argv.append("more")
warnings.simplefilter("error")
fileConfig("alembic.ini")
log = logging.getLogger("a logger of env.py")
log.setLevel(logging.DEBUG)
log.addHandler(logging.StreamHandler(sys.stderr))
logging.getLogger().addHandler(logging.StreamHandler(sys.stderr))
sys.stdout = io.StringIO()
import models, parts.part
os.chdir("/")
"""


def state() -> dict:
    loggers = [logging.getLogger(), *map(logging.getLogger, sorted(logging.Logger.manager.loggerDict))]
    odd = [(log, log.level, list(log.handlers), log.disabled, log.propagate) for log in loggers]
    return {
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "path": list(sys.path),
        "words": list(sys.argv),
        "filters": list(warnings.filters),
        "streams": (sys.stdout, sys.stderr),
        "bytecode": sys.dont_write_bytecode,
        "loggers": [entry for entry in odd if entry[1:] != (logging.NOTSET, [], False, True)],
        "modules": {name for name in sys.modules if name.partition(".")[0] in ("models", "parts", "env")},
    }


@pytest.mark.parametrize("ending", ["", "raise ValueError", "raise SystemExit(3)"])
def test_nothing_that_env_py_changes_stays(stage, ending):
    """The kernel goes on, and the next command in it must be as the first."""
    stage.write("models.py", MODELS)
    stage.write("parts/part.py", "")
    stage.write(ENV, MEDDLING_ENV + ending)
    stage.run("heads")
    before = state()
    assert bool(stage.run("current").error) == bool(ending)
    assert state() == before
    assert not list(stage.project.rglob("__pycache__"))


def test_one_projects_modules_are_not_the_nexts(stages):
    """Lesson 10 saw the models of lesson 09, and autogenerate dropped every table of its own."""
    projects = {}
    for name in ("ours", "theirs"):
        projects[name] = stage = stages(name, "empty")
        stage.write("models.py", f"name = {name!r}")
        stage.write("parts/part.py", f"name = {name!r}")
        stage.write(f"{name}.py", "")
        stage.write(ENV, f"import models, parts.part, {name}\nprint(models.name, parts.part.name)")
    for name in ("ours", "theirs", "ours"):
        assert projects[name].run("current").text == f"{name} {name}\n"


def test_a_module_is_as_its_file_is_now(stage, monkeypatch):
    """A notebook's cell imports the models, the next one writes them anew, and autogenerate still saw the old ones."""
    stage.write(ENV, "import models\nprint(models.name)")
    stage.write("models.py", "name = 'old'")
    monkeypatch.syspath_prepend(stage.project)
    import models

    stage.write("models.py", "name = 'new'")
    assert stage.run("current").text == "new\n"
    assert sys.modules.pop("models") is models, "the notebook's own is another one now"


def test_an_edit_within_the_same_second_is_seen(stage):
    """Python's cached bytecode knows a file by its second and its size."""
    for number in range(10):
        stage.add("pass", title=f"Title {number}")
        assert f"(head), Title {number}." in stage.run("history").text


def test_a_module_comes_from_where_alembic_ini_says(stage, monkeypatch):
    """A notebook finds modules in its own folder, so what worked in it failed in a terminal and in CI."""
    stage.replace("alembic.ini", "prepend_sys_path = .", "")
    stage.write("models_beside_env.py", "")
    stage.write(ENV, "import models_beside_env")
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    assert failing(stage, "current").sentence == "ModuleNotFoundError: No module named 'models_beside_env'"


@pytest.mark.parametrize("ending", ["pass", "raise ValueError"])
def test_sessions_that_a_command_leaves_open_are_closed(stage, sessions, ending):
    """The program's end closes them; here they kept their locks, and the next %sql waited for ever."""
    stage.replace(ENV, "with engine.connect() as connection:", "connection = engine.connect()\n    for _ in (1,):")
    stage.add(
        f"""
        other = sa.create_engine(os.environ["DATABASE_URL"]).connect()
        other.execute(sa.text("SELECT pg_advisory_lock(1)"))
        {ending}
        """
    )
    stage.run("upgrade head")
    wait_until(lambda: sessions() == [], 10)


def test_sessions_of_others_stay(stage, running):
    """Traffic runs beside a migration, on engines of the same process."""
    marker = stage.project / "connected"
    engine = sa.create_engine(running.database_url(stage.database))
    stage.add(
        """
        pathlib.Path("started").touch()
        while not os.path.exists("connected"): time.sleep(0.01)
        """
    )

    def connect() -> sa.Connection:
        wait_until((stage.project / "started").exists)
        connection = engine.connect()
        marker.touch()
        return connection

    with ThreadPoolExecutor(1) as pool:
        connecting = pool.submit(connect)
        assert stage.run("upgrade head").error is None
    with connecting.result() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1
    engine.dispose()


def test_a_session_is_called_alembic_on_the_server(stage, sessions):
    """`%locks` names who holds a lock; it must not be the kernel's other sessions that are called so."""
    stage.add("""print(op.get_bind().scalar(sa.text("SELECT current_setting('application_name')")))""")
    assert stage.run("upgrade head").text.splitlines()[-1] == "alembic"
    assert "PGAPPNAME" not in os.environ


# Interrupts


class Interrupting(io.StringIO):
    """The output of a command that is interrupted as it prints a certain word."""

    def __init__(self, word: str):
        super().__init__()
        self.word = word

    def write(self, text: str) -> int:
        if self.word in text:
            raise KeyboardInterrupt
        return super().write(text)


def test_an_interrupt_goes_through_and_the_transaction_is_rolled_back(stage, sessions):
    """The stop button in the middle of an upgrade; nothing of it may stay, a lock least of all."""
    before = state()
    with pytest.raises(KeyboardInterrupt):
        stage.run("upgrade head", Interrupting("-> 0003_orders"))
    wait_until(lambda: sessions() == [], 10)
    assert state() == before
    assert "0001_users" not in stage.run("current").text


def test_an_interrupt_ends_a_statement_that_runs(stage, sessions):
    """A statement that waits for a lock is what people interrupt most; it went on waiting on the server."""
    stage.add("""op.execute("CREATE TABLE half_done ()"); op.execute("SELECT pg_sleep(600)")""")

    def press_stop():
        wait_until(lambda: ("alembic", "active") in sessions())
        interrupt_main()

    stop = threading.Thread(target=press_stop)
    stop.start()
    with pytest.raises(KeyboardInterrupt):
        stage.run("upgrade head")
    stop.join()
    wait_until(lambda: sessions() == [])
    assert "0001_users" not in stage.run("current").text
