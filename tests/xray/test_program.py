"""``migration-xray`` in a terminal of its own, on a plain Alembic project: what a person types, and what goes wrong.

test_wheels.py starts the same program from the installed wheel, where nothing of the lab is.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass

import pytest
from tests.waiting import wait_until
from tests.xray.stage import on_stage

from migration_lab.server.postgres import environment
from migration_xray.cli import main
from migration_xray.errors import UserError
from migration_xray.trace import Trace
from migration_xray.traffic import chart
from migration_xray.traffic.felt import Felt

on_posix = pytest.mark.skipif(os.name == "nt", reason="uses pipes, devices or signals as POSIX systems have them")

TABLE = (
    "CREATE TABLE users (id int PRIMARY KEY, name text)",
    "INSERT INTO users SELECT n, n FROM generate_series(1, 100) n",
)
ADD = "op.execute('ALTER TABLE users ADD COLUMN city text')"
DROP = "op.execute('ALTER TABLE users DROP COLUMN city')"


@pytest.fixture(scope="module")
def module_stage(running, tmp_path_factory):
    with on_stage(running, tmp_path_factory.mktemp("program")) as stage:
        yield stage


@pytest.fixture
def stage(module_stage):
    module_stage.reset(*TABLE)
    module_stage.migration(ADD, downgrade=DROP)
    return module_stage


@pytest.fixture
def program(stage, monkeypatch, capsys):
    """``program("upgrade", "head")``: run it in the project, with these environment variables; what it said and its status."""
    for name, value in environment(stage.url).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(stage.folder)

    def run(*arguments, **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, str(value))
        capsys.readouterr()
        try:
            status = main(list(map(str, arguments)))
        except SystemExit as end:  # argparse's way out
            status = end.code
        return Ran(status, *capsys.readouterr())

    return run


@dataclass
class Ran:
    """How the program ended, and what it printed."""

    returncode: int
    out: str
    err: str


@pytest.fixture
def process(stage):
    """The program in a process of its own, for what happens to its streams and signals."""
    begun = []

    def start(*arguments, stdout=subprocess.PIPE):
        begun.append(
            subprocess.Popen(
                [sys.executable, "-m", "migration_xray", *arguments],
                cwd=stage.folder,
                env=os.environ | environment(stage.url),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.PIPE,
                encoding="utf-8",
            )
        )
        return begun[-1]

    yield start
    for one in begun:
        one.kill()
        one.communicate()


# What a person types


def test_alone_it_says_what_to_do(program):
    """The first thing that people type is the name. A page of options does not say what it is for."""
    alone = program()
    assert (alone.returncode, alone.out) == (1, "")
    assert alone.err == "What should Alembic do? For example: migration-xray upgrade head\n"


def test_help_has_examples_and_names_alembics_own(program):
    helped = program("--help")
    assert helped.returncode == 0
    assert "migration-xray upgrade head\n" in helped.out and "migration-xray locks" in helped.out
    assert "`alembic --help` prints them" in helped.out
    assert max(map(len, helped.out.splitlines())) <= 120


def test_the_version_names_what_a_report_of_a_bug_needs(program):
    assert re.fullmatch(
        r"migration-xray \d+\.\d+\.\d+, alembic 1\.\S+, sqlalchemy 2\.\S+, psycopg 3\.\S+\n", program("--version").out
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["--json", "upgrade", "head"],
        ["upgrade", "head", "--json"],
        ["-c", "alembic.ini", "--json", "-x", "tenant=a", "upgrade", "head"],
    ],
)
def test_its_options_stand_before_or_after_alembics(program, arguments):
    """After `-c FILE` they went on to Alembic, which knows no --json."""
    ran = program(*arguments)
    assert ran.returncode == 0, ran.err
    data = json.loads(ran.out)
    assert data["transactions"][-1]["revisions"] == ["0001"]
    assert data["command"] == " ".join(argument for argument in arguments if argument != "--json")


def test_a_step_back_is_no_option(program):
    program("upgrade", "head")
    back = program("downgrade", "-1")
    assert back.returncode == 0, back.err
    assert "ALTER TABLE users DROP COLUMN city" in back.out


def test_abbreviations_are_alembics(program):
    """`--js` would be guessed to be --json, and the next option of Alembic's that begins like one of ours too."""
    guessed = program("--js", "history")
    assert guessed.returncode == 1
    assert guessed.out.startswith("usage: alembic ")
    assert guessed.err == "alembic: error: unrecognized arguments: --js\n"


def test_traffic_prints_what_it_noticed_and_nothing_else(process):
    """Python's own warning about how the traffic's process was started stood above every report."""
    ran = process("--traffic", "users", "upgrade", "head")
    out, err = ran.communicate(timeout=120)
    assert (ran.returncode, err) == (0, "")
    assert "AccessExclusiveLock on users" in out
    assert re.search(r"^Longest read stall [\d,]+ ms, longest write stall [\d,]+ ms; no errors\.$", out, re.M)


def test_locks_are_shown_and_anothers_session_is_named(program, stage):
    url = stage.url.render_as_string(hide_password=False)
    assert program("locks", "--database", url).out == "Nobody holds a lock on a table here, and nobody waits for one.\n"
    with stage.server.connect(stage.database, application_name="alice") as alice:
        alice.execute("BEGIN; LOCK TABLE users")
        shown = program("locks")
        whose = f"alice (pid {alice.info.backend_pid}, user {alice.info.user})"
    assert (shown.returncode, shown.err) == (0, "")
    assert f"{whose}: idle in transaction" in shown.out
    assert "holds AccessExclusiveLock on users (blocks reads and writes)" in shown.out


# What goes wrong: a sentence each, no traceback


def refused(program, *arguments, **variables) -> str:
    """What it says where it can't go on."""
    ran = program(*arguments, **variables)
    assert ran.returncode == 1, ran.out
    return ran.err


def test_the_wrong_folder_is_told(program, tmp_path, monkeypatch):
    """Alembic says that a key is missing in the configuration. There is no configuration at all."""
    monkeypatch.chdir(tmp_path)
    said = refused(program, "upgrade", "head").splitlines()
    assert (
        said[-1]
        == f"There is no {tmp_path / 'alembic.ini'}. Run this in your project's folder, or name its file with -c FILE."
    )
    assert said[0].startswith("FAILED: No 'script_location' key found")
    named = refused(program, "-c", "deploy.ini", "upgrade", "head").splitlines()
    assert named[-1] == f"There is no {tmp_path / 'deploy.ini'}. Correct the name after -c."


def test_a_pyproject_without_alembic_in_it_is_told(program, tmp_path, monkeypatch):
    """Alembic looks there too, and a project's folder nearly always has one."""
    monkeypatch.chdir(tmp_path)
    toml = tmp_path / "pyproject.toml"
    toml.write_text('[project]\nname = "shop"\n')
    silent = f"{toml} has no script_location in [tool.alembic]"
    mend = "Run this in your project's folder, or name its file with -c FILE."
    said = refused(program, "upgrade", "head").splitlines()
    assert said[-1] == f"There is no {tmp_path / 'alembic.ini'} and {silent}. {mend}"
    assert refused(program, "-c", "pyproject.toml", "upgrade", "head").splitlines()[-1] == f"{silent}. {mend}"
    said = refused(program, "-c", "deploy.ini", "upgrade", "head").splitlines()
    assert said[-1] == f"There is no {tmp_path / 'deploy.ini'} and {silent}. Correct the name after -c."


def test_a_configuration_that_is_there_is_not_called_absent(program, stage):
    (stage.folder / "empty.ini").write_text("[alembic]\n")
    assert refused(program, "-c", "empty.ini", "upgrade", "head").startswith("FAILED: No 'script_location' key found")
    assert "There is no" not in refused(program, "-c", "empty.ini", "upgrade", "head")


def test_a_command_that_alembic_does_not_know_is_told_once(program):
    ran = program("upgrde", "head")
    assert ran.returncode == 1
    assert ran.out.startswith("usage: alembic ")
    assert len(ran.err.splitlines()) == 1 and "invalid choice: 'upgrde'" in ran.err
    assert "exit status" not in ran.err, "one sentence is enough"
    assert "opened no database" not in ran.out, "that is no news where Alembic did not begin"


@pytest.mark.parametrize("verb", [["locks"], ["--traffic", "users", "current"]])
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"password": "wrong"}, "refused the session: the password or the role is wrong. Check both."),
        (
            {"port": 1},
            "refused the session: nothing listens there. Start that server, or correct the host and the port.",
        ),
        ({"database": "nowhere"}, "refused the session: it has no such database. Correct the database in the URL."),
    ],
)
def test_a_server_that_refuses_is_told(program, stage, verb, change, sentence):
    url = stage.url.set(**change).render_as_string(hide_password=False)
    if "password" in change and stage.url.password is None:
        pytest.skip("this server asks for no password")
    assert refused(program, *verb, DATABASE_URL=url).endswith(f"{sentence}\n")


def test_what_the_server_refuses_to_show_is_told(program, stage):
    """Where an administrator has closed the views, `locks` ended in a traceback."""
    stage.session.execute(
        "REVOKE ALL ON pg_locks FROM public; DROP ROLE IF EXISTS closed; CREATE ROLE closed LOGIN PASSWORD 'x'"
    )
    try:
        url = stage.url.set(username="closed", password="x").render_as_string(hide_password=False)
        assert refused(program, "locks", DATABASE_URL=url) == "PostgreSQL said: permission denied for view pg_locks.\n"
    finally:
        stage.session.execute("GRANT SELECT ON pg_locks TO public; DROP ROLE closed")


def test_a_url_that_is_none_is_told_without_its_password(program):
    said = refused(program, "locks", "--database", "postgresql://me:mellon@host:port/shop")
    assert said.startswith("host:port/shop can't be read as a database URL;")
    assert "mellon" not in said
    assert refused(program, "locks", DATABASE_URL="").startswith("Which database?")


@pytest.mark.parametrize(
    ("chart", "sentence"),
    [
        ("felt.gif", "felt.gif is to be a picture: end its name with .png or .svg."),
        ("nowhere/felt.png", "The chart can't be saved: there is no folder"),
    ],
)
def test_a_chart_that_can_not_be_saved_is_told_before_the_migration(program, stage, chart, sentence):
    """Afterwards, the migration is done and can't be measured again."""
    assert refused(program, "--traffic", "users", "--chart", chart, "upgrade", "head").startswith(sentence)
    assert stage.count("SELECT count(*) FROM information_schema.columns WHERE column_name = 'city'") == 0


def test_without_matplotlib_the_extra_is_named_before_the_migration(program, stage, monkeypatch):
    """A migration that has run can't be drawn any more. The name of the package alone does not say which version fits."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    said = refused(program, "--traffic", "users", "--chart", "felt.png", "upgrade", "head")
    assert said.startswith("A chart needs matplotlib (")
    assert said.endswith('Install it with: pip install "migration-xray[chart]"\n')
    assert stage.count("SELECT count(*) FROM information_schema.columns WHERE column_name = 'city'") == 0


def test_what_needs_an_absent_package_says_so_in_python_too(monkeypatch):
    """The report is whole without them; only who asks for a picture or a frame needs to know."""
    for name in ("matplotlib", "pandas"):
        monkeypatch.setitem(sys.modules, name, None)
    felt = Felt("users", {"traffic reader 1": ("read", None)}, 50, 1.0, [])
    for asks, package, install in (
        (lambda: chart.png(felt), "matplotlib", 'pip install "migration-xray[chart]"'),
        (lambda: chart.draw(felt), "matplotlib", 'pip install "migration-xray[chart]"'),
        (felt.to_frame, "pandas", "pip install pandas"),
        (Trace("upgrade head", 0.0).to_frame, "pandas", "pip install pandas"),
    ):
        with pytest.raises(UserError, match=rf"needs {package} \(.*Install it with: {re.escape(install)}"):
            asks()


# Who reads it


@on_posix
def test_a_reader_that_has_read_enough_stops_no_migration(process, stage):
    """`migration-xray upgrade head | head -1` ended in a traceback, and the migration's status was lost."""
    reading, writing = os.pipe()
    os.close(reading)
    ran = process("upgrade", "head", stdout=writing)
    os.close(writing)
    assert (ran.communicate(timeout=120)[1], ran.returncode) == ("", 0)
    assert stage.count("SELECT count(*) FROM alembic_version") == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's device that is always full")
def test_a_full_disk_is_told_and_stops_no_migration(process, stage):
    """The report that one keeps in a file must not seem whole."""
    with open("/dev/full", "w") as full:
        ran = process("upgrade", "head", stdout=full)
    said = ran.communicate(timeout=120)[1]
    assert (ran.returncode, said) == (1, "The rest of the output could not be written: No space left on device.\n")
    assert stage.count("SELECT count(*) FROM alembic_version") == 1


@on_posix
def test_ctrl_c_ends_the_statement_and_shows_what_was_done(process, stage):
    """Who stops a migration that waits wants to see what it waited for."""
    with stage.server.connect(stage.database) as holder:
        holder.execute("BEGIN; LOCK TABLE users")
        ran = process("upgrade", "head")
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        wait_until(lambda: stage.count(waiting))
        ran.send_signal(signal.SIGINT)
        out, err = ran.communicate(timeout=60)
    assert ran.returncode == 130
    assert "Traceback" not in out + err
    assert "ALTER TABLE users ADD COLUMN city text" in out
