"""What breaks in mid-work, and what brings the lab back: killed servers and kernels, full disks, folders that are gone.

After each fault a learner reads a sentence, one command leads on, and every file of theirs is still somewhere.
(Killed sessions and builds, forty sessions and interrupted resets: test_lesson.py. Files on full disks: test_workspace.py.)
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from datetime import datetime
from itertools import product
from pathlib import Path

import nbformat
import psutil
import psycopg
import pytest
from conftest import drop_databases
from IPython.core.error import UsageError
from tests.learner.test_lesson import FIRST, Kernel
from tests.waiting import wait_until

from migration_lab.author.refresh import execute
from migration_lab.cli import main
from migration_lab.course.manifest import find_exercise, find_lesson
from migration_lab.learner import refresh_notebooks
from migration_lab.learner.progress import Progress
from migration_lab.paths import NOTEBOOKS, ROOT
from migration_lab.server import connect, startstate
from migration_lab.server.embedded import Embedded
from migration_lab.server.postgres import as_url, server
from migration_lab.workspace import Workspace
from migration_xray.errors import UserError

on_posix = pytest.mark.skipif(os.name == "nt", reason="kills, or deletes open files, as POSIX systems do")

MIGRATION = """
from alembic import op

revision = "0004_mine"
down_revision = "0003_orders"


def upgrade() -> None:
    op.execute("ALTER TABLE users ADD COLUMN mine text")
    op.execute("{statement}")


def downgrade() -> None:
    op.execute("ALTER TABLE users DROP COLUMN mine")
"""
FILE = Path("migrations", "versions", "0004_mine.py")
ASLEEP = "SELECT pg_sleep(600)"
# It never looks whether its server lives.
AT_WORK = "DO 'BEGIN WHILE clock_timestamp() < now() + interval ''5 min'' LOOP END LOOP; END'"


def write(project: Path, statement: str) -> str:
    """Write the learner's revision into a project; returns its text."""
    text = MIGRATION.format(statement=statement)
    (project / FILE).write_text(text, encoding="utf-8")
    return text


def backends(url, statement: str) -> list[int]:
    """The server's processes that run this statement now in this database."""
    with connect(url) as session:
        query = "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query = %s AND datname = %s"
        return [row[0] for row in session.execute(query, [statement, url.database])]


def end(pid: int) -> None:
    """Kill a process, and wait until it is gone."""
    process = psutil.Process(pid)
    process.kill()
    psutil.wait_procs([process], timeout=20)


def refused(ran) -> str:
    """The sentence of a cell that failed in words, and no more than that."""
    assert isinstance(ran.error, UserError), ran
    assert "Traceback" not in ran.text
    return str(ran.error)


@contextmanager
def disk_of(megabytes: int, folder: Path):
    """A small disk mounted on a folder, where that is allowed; says whether it is."""
    folder.mkdir(exist_ok=True)
    mount = [shutil.which("mount") or "mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", folder]
    mounted = os.name != "nt" and subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", folder], check=True)


@pytest.fixture
def own(open_folder, monkeypatch, shell):
    """The embedded server of a learner with nobody else on it, in memory where it may be; the shell is theirs."""
    folder = open_folder / "own"
    with disk_of(300, folder):
        monkeypatch.setenv("LAB_WORK", str(folder / "work"))
        monkeypatch.setenv("LAB_POSTGRES", "embedded")
        embedded = Embedded(Workspace())
        yield embedded
        os.chdir(tempfile.gettempdir())
        embedded.discard()
        shutil.rmtree(folder / "work")


# The server is killed


@on_posix
def test_the_server_is_killed_in_mid_upgrade(own, shell):
    """Out of memory, or a container that is stopped: the learner reads what happened and what to do, and does that."""
    shell("%lesson 00")
    url = as_url(**own.address(), database="lesson_00")
    text = write(own.workspace.project("lesson_00"), ASLEEP)

    def kill():
        wait_until(lambda: backends(url, ASLEEP))
        end(own.pid())

    killer = threading.Thread(target=kill)
    killer.start()
    lost, again = shell("%alembic upgrade head"), shell("%alembic current")
    killer.join()
    assert "server closed the connection unexpectedly" in refused(lost)
    mend = f"PostgreSQL at 127.0.0.1:{url.port} has ended. Open your lesson again: that starts it."
    assert refused(lost).endswith(mend)
    assert refused(again).endswith(mend)
    back = shell("%lesson 00 --reset").text.splitlines()
    assert back[2] == "Revision  0003_orders"
    assert (own.workspace.path / back[3].split(" in ")[1] / FILE).read_text(encoding="utf-8") == text
    assert shell("%sql SELECT count(*) FROM users").value == [(1000,)]


@on_posix
def test_the_server_is_killed_while_a_statement_is_at_work(own, shell, lab):
    """A session at work does not hear of it, and its kernel waits for ever: a reset in a terminal must end both."""
    shell("%lesson 00")
    url = as_url(**own.address(), database="lesson_00")
    text = write(own.workspace.project("lesson_00"), AT_WORK)
    resets, orphans, outlived = [], [], []

    def kill():
        orphans.extend(wait_until(lambda: backends(url, AT_WORK)))
        end(own.pid())
        resets.append(lab("reset", "00", LAB_WORK=own.workspace.path))
        outlived.extend(filter(psutil.pid_exists, orphans))
        for pid in outlived:
            end(pid)

    killer = threading.Thread(target=kill)
    killer.start()
    ran = shell("%alembic upgrade head")
    killer.join()
    assert not outlived
    assert refused(ran).startswith("AdminShutdown: terminating connection")
    assert resets[0].returncode == 0, resets[0].said
    (saved,) = own.workspace.backups.glob("lesson_00-*")
    assert (saved / FILE).read_text(encoding="utf-8") == text
    assert shell("%alembic current").text.endswith("0003_orders (head)"), "the kernel does not go on"


# The disk is full


def databases(running) -> set[str]:
    with running.connect() as session:
        return {row[0] for row in session.execute("SELECT datname FROM pg_database")}


@pytest.fixture
def full_disk(open_folder, monkeypatch):
    """An embedded server alone on a disk of 90 MB; ``full_disk.leave(kilobytes)`` fills the rest with ``filler``."""

    def leave(kilobytes: int) -> None:
        embedded.filler.write_bytes(bytes(shutil.disk_usage(disk).free - kilobytes * 1024))

    disk = open_folder / "the server's disk"
    with disk_of(90, disk) as mounted:
        if not mounted:
            pytest.skip("needs the right to mount a small disk")
        monkeypatch.setenv("LAB_WORK", str(disk / "work"))
        monkeypatch.setenv("LAB_POSTGRES", "embedded")
        embedded = Embedded(Workspace())
        if not embedded.home.is_relative_to(disk):
            pytest.skip("root's server can't reach the programs of this clone, and lives on another disk")
        embedded.filler, embedded.leave = disk / "filler", leave
        embedded.start()
        yield embedded
        embedded.filler.unlink(missing_ok=True)
        embedded.discard()


@pytest.mark.parametrize(("kilobytes", "survives"), [(3_000, True), (9_000, False)], ids=["its rows", "its log"])
def test_the_disk_is_full_while_a_start_state_is_built(full_disk, kilobytes, survives, capsys):
    """What failed was hidden by what failed after it ("the connection is closed"): to clear up needs room too, and ended
    the server with all its sessions. Without room for its log it does end; with room again, the same command must do.
    """
    with server().connect() as other:
        full_disk.leave(kilobytes)
        for _ in range(2):
            assert main(["open", "00"]) == 1
            said = capsys.readouterr().err
            assert re.search("No space left on device|The disk that holds the database is full", said), said
            assert len(said.splitlines()) == 1
        with nullcontext() if survives else pytest.raises(psycopg.OperationalError):
            other.execute("SELECT 1")
    full_disk.filler.unlink()
    assert main(["open", "00"]) == 0
    assert "Revision  0003_orders\n" in capsys.readouterr().out
    template = startstate.template_name("small", "lab")
    assert databases(server()) == {"postgres", "template0", "template1", template, "lesson_00"}


# Folders that are not to be written, and folders that are gone


def test_a_read_only_clone(ordinary_user, lab):
    """Installed once for a whole class, or on a share: all that the lab writes is in the learner's own folder."""
    command, home = ordinary_user
    closed = f'mount --bind "{ROOT}" "{ROOT}" && mount -o remount,bind,ro "{ROOT}" && exec "$@"'
    command = ("unshare", "--mount", "--propagation", "private", "sh", "-c", closed, "sh", *command)
    work = home / "beside a read-only clone" / "work"
    settings = {"command": command, "LAB_WORK": work, "HOME": home}

    def says(*arguments: str) -> str:
        done = lab(*arguments, **settings)
        assert done.returncode == 0, done.said
        return done.said

    with disk_of(300, work.parent):
        try:
            assert "Revision  0003_orders" in says("open", "00")
            says("open", "first_step")
            solution = find_exercise("first_step").folder / "solution"
            shutil.copytree(solution, work / "projects" / "exercise_first_step", dirs_exist_ok=True)
            assert "\n✔ Passed" in says("check", "first_step")
            assert "Your files were saved in backups/exercise_first_step-" in says("reset", "first_step")
            assert "✔ first_step: passed" in says("progress")
        finally:
            says("stop")
            shutil.rmtree(work)


@pytest.mark.usefixtures("open_programs")
@on_posix
def test_work_is_deleted_while_its_server_runs(own, shell):
    """Somebody begins anew with `rm -r work`: the server goes on without its files, on its port, in the learner's way."""
    shell("%lesson 00")
    old = psutil.Process(own.pid())
    family = [old, *old.children()]
    shutil.rmtree(own.workspace.path)
    ran = shell("%alembic current")
    assert refused(ran)
    assert shell("%lesson 00").text.endswith("Revision  0003_orders")
    assert shell("%alembic current").text.endswith("0003_orders (head)")
    assert shell("%progress").text.startswith("◐ 00")
    assert own.is_running() and own.pid() != old.pid
    assert not [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


# Kernels: one that is killed, ten at once


@pytest.fixture
def kernels(workspace, tmp_path, monkeypatch):
    """``kernels(3)``: as many real kernels in which no lesson is open yet; all are gone at the end."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    started = []

    def start(count: int) -> list[Kernel]:
        with ThreadPoolExecutor(count) as pool:
            for starting in [pool.submit(Kernel) for _ in range(count)]:
                started.append(starting.result())
        return started[-count:]

    yield start
    for kernel in started:
        kernel.end()


@on_posix
def test_a_kernel_is_killed_in_mid_upgrade(kernels, workspace, running):
    """Out of memory, or restarted because the upgrade takes so long: its statement goes on alone, with its locks."""
    first, second = kernels(2)
    first.run("%load_ext migration_lab\n%lesson 00")
    url = running.database_url(f"lesson_00_{workspace.tag}")
    project = workspace.project("lesson_00")
    text = write(project, AT_WORK)
    first.client.execute("%alembic upgrade head")
    wait_until(lambda: backends(url, AT_WORK))
    first.manager.signal_kernel(signal.SIGKILL)

    printed, _ = second.run("%load_ext migration_lab\n%lesson 00")
    assert printed.endswith("Revision  0003_orders\n"), printed
    assert (project / FILE).read_text(encoding="utf-8") == text
    with connect(url) as session:
        looks = session.execute("SHOW client_connection_check_interval").fetchone() != ("0",)
    if looks:  # as the lab's own server does; on another one the statement goes on until the reset
        write(project, "SELECT 1")
        printed, reply = second.run("%alembic upgrade head")
        assert reply["status"] == "ok", printed
        write(project, AT_WORK)
    printed, _ = second.run("%lesson 00 --reset\n%alembic current")
    assert "Revision  0003_orders\nYour files were saved in " in printed
    assert printed.endswith("0003_orders (head)\n")
    assert not backends(url, AT_WORK)
    (saved,) = workspace.backups.glob("lesson_00-*")
    assert (saved / FILE).read_text(encoding="utf-8") == text


def test_ten_kernels_at_once(kernels, workspace):
    """Ten notebooks are open when JupyterLab comes back after a night, and somebody runs them all."""
    numbers = ["00", "02", "03", "04", "05", "07", "08", "09", "10", "11"]
    cell = "%load_ext migration_lab\n%lesson {}\n{}\n%alembic upgrade head\n%sql SELECT mine FROM users LIMIT 1"
    revision = f"_ = open({FILE.as_posix()!r}, 'w').write({MIGRATION.format(statement='SELECT 1')!r})"
    with ThreadPoolExecutor(10) as pool:
        cells = [cell.format(number, revision) for number in numbers]
        ran = list(pool.map(Kernel.run, kernels(10), cells))
    for number, (printed, reply) in zip(numbers, ran, strict=True):
        assert reply["status"] == "ok", (number, printed, reply)
        assert f"lesson_{number}_{workspace.tag}\nRevision  0003_orders\n" in printed
        assert "Running upgrade 0003_orders -> 0004_mine" in printed
    opened = [lesson.number for lesson, opened, _ in Progress(workspace).table() if opened]
    assert opened == numbers, "what one kernel noted, another one has overwritten"


def test_whole_notebooks_at_once(workspace):
    """Somebody presses "Run All" in four tabs: one server, one work/, one progress.json."""
    numbers = ["00", "02", "03", "08"]
    notebooks = [nbformat.read(NOTEBOOKS / find_lesson(number).notebook, as_version=4) for number in numbers]
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(execute, notebook, NOTEBOOKS, {}) for notebook in notebooks]:
            done.result()
    opened = [lesson.number for lesson, opened, _ in Progress(workspace).table() if opened]
    assert opened == numbers


# Cells in any order


PACKAGE = str(Path(startstate.__file__).parent)


def at_fault(error: BaseException) -> list[str]:
    """The lab's own lines below the cell's that an error came from: a learner reads them as pages of traceback."""
    frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    cell = max((number for number, (file, _) in enumerate(frames) if file.startswith("<ipython")), default=-1)
    return [f"{file}, line {line}" for file, line in frames[cell + 1 :] if file.startswith(PACKAGE)]


@pytest.mark.parametrize(
    ("number", "opened"),
    [*product(["00", "02", "08", "09"], ["first", "later"]), ("04", "first"), ("10", "first")],
)
@pytest.mark.filterwarnings("ignore")
def test_cells_in_any_order(shell, number, opened, monkeypatch):
    """People jump about in a notebook. What then fails does so in a sentence of Python, Alembic, PostgreSQL or the lab."""
    monkeypatch.setenv("PAGER", "cat")  # as a kernel does
    monkeypatch.setenv("GIT_PAGER", "cat")
    # A session that a cell has left open may be in the way of all others.
    monkeypatch.setenv("PGOPTIONS", "-c lock_timeout=1s -c statement_timeout=20s")
    notebook = nbformat.read(NOTEBOOKS / find_lesson(number).notebook, as_version=4)
    first, *cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    random.Random(number).shuffle(cells)
    cells.insert(0 if opened == "first" else len(cells) // 3, first)
    for cell in cells:
        ran = shell(cell)
        assert "Exception in thread" not in ran.text, cell
        if isinstance(ran.error, UserError | UsageError):
            assert len(str(ran.error).split()) > 2, f"no sentence: {ran.error}\n{cell}"
        elif ran.error:
            assert not at_fault(ran.error), cell
    assert shell(f"%lesson {number} --reset").error is None, "the lesson does not go back to its start"


# A clock that jumps


DAY = 24 * 60 * 60


def test_files_from_the_future(shell, workspace):
    """The clock was a year ahead for a while: every file, date and backup of that time is newer than all that comes."""
    shell("%lesson 00")
    project, progress = workspace.project("lesson_00"), workspace.path / "progress.json"
    refresh_notebooks(workspace)
    write(project, "SELECT 1")
    mine = workspace.back_up(project)
    text = write(project, "SELECT 2")
    ahead = workspace.back_up(project).rename(workspace.backups / "lesson_00-21991231-235959-000000")
    year = str(datetime.now().year)
    progress.write_text(progress.read_text(encoding="utf-8").replace(year, "2199"), encoding="utf-8")
    for path in workspace.path.rglob("*"):
        os.utime(path, (time.time() + 400 * DAY,) * 2)

    assert "saved in backups/lesson_00-2199" in shell("%lesson 00 --reset").text
    assert (ahead / FILE).read_text(encoding="utf-8") == text
    write(project, "SELECT 1")
    assert f"saved in backups/{mine.name}" in shell("%lesson 00 --reset").text
    assert sorted(workspace.backups.iterdir()) == [mine, ahead], "the same files are saved again and again"
    assert refresh_notebooks(workspace) == []
    assert shell("%alembic upgrade head").error is None
    assert shell("%progress").text.startswith("◐ 00")
    assert Progress(workspace).first_opened(FIRST).year == 2199, "what the file said is gone"
    assert 0 <= Progress(workspace).seconds(FIRST) < 600


def test_the_clock_is_put_back_in_mid_check(shell, workspace, monkeypatch):
    """A laptop that wakes up asks a time server: a check in progress neither hangs nor fails, and the pass is noted."""
    exercise = find_exercise("first_step")
    shell("%lesson 00")
    (answer,) = exercise.folder.glob("solution/**/*.py")
    text = answer.read_text(encoding="utf-8")
    marker = workspace.path / "put back"
    body = f"    import pathlib, time\n    now = time.time\n    time.time = lambda: now() - {DAY}\n"
    body += f"    pathlib.Path({str(marker)!r}).touch()\n"
    head, upgrade, rest = text.partition("def upgrade() -> None:\n")
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - (DAY if marker.exists() else 0))
    file = answer.relative_to(exercise.folder / "solution").as_posix()
    shell(f"%%answer first_step {file}\n{head}{upgrade}{body}{rest}")
    assert shell("%check first_step").text.startswith("✔ Passed")
    assert marker.exists()
    assert Progress(workspace).passed(exercise)
    assert shell("%lesson 00 --reset").error is None


# What a reset has to delete, and how long it may take


def test_a_reset_deletes_what_is_read_only(ordinary_user, lab, running):
    """Lesson 09 makes a git repository in the project, and git's objects are read-only: Windows does not delete such."""
    command, home = ordinary_user
    url = running.url.render_as_string(hide_password=False)
    settings = {"command": command, "LAB_WORK": home / "with git", "LAB_POSTGRES": url, "HOME": home}
    try:
        opened = lab("open", "00", **settings)
        assert opened.returncode == 0, opened.said
        objects = home / "with git" / "projects" / "lesson_00" / ".git" / "objects"
        objects.mkdir(parents=True)
        (objects / "0a1b2c").write_text("mine")
        for path in (objects / "0a1b2c", objects, objects.parent):
            shutil.chown(path, "nobody")
            path.chmod(0o555)
        reset = lab("reset", "00", **settings)
        assert "Your files were saved in backups/lesson_00-" in reset.said, reset.said
        assert not objects.parent.exists()
        (saved,) = (home / "with git" / "backups").glob("lesson_00-*")
        assert (saved / ".git" / "objects" / "0a1b2c").read_text() == "mine"
    finally:
        drop_databases(running, Workspace(home / "with git"))


def test_a_role_whose_statements_have_little_time(running, tmp_path, monkeypatch):
    """A company's server gives each statement some seconds; the large start state takes longer."""
    for part in ("shop", "project"):
        shutil.copytree(startstate.PACKAGE / part, tmp_path / part)
    data = tmp_path / "shop" / "data.sql"
    data.write_text(data.read_text(encoding="utf-8") + "SELECT pg_sleep(1.5);", encoding="utf-8")
    monkeypatch.setattr(startstate, "PACKAGE", tmp_path)
    monkeypatch.setenv("PGOPTIONS", "-c statement_timeout=1s")
    template = startstate.ensure_template(running, "small")
    with running.connect() as session:
        startstate.drop_database(session, template)
