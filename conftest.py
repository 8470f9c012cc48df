"""What the tests share: one real server for all of them, and a workspace of its own for each.

LAB_POSTGRES chooses the server, as it does for a learner; without it, it is the embedded one. LAB_TESTS_THROWAWAY=1 says
that the chosen one is there for these tests alone, and may lose everything when the machine stops.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psycopg
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from nbval.plugin import IPyNbCell, IPyNbFile
from tests.secondrun import CellAgain, LessonFile
from traitlets.config import Config
from xdist.scheduler import LoadFileScheduling

from migration_lab.course.manifest import find_lesson
from migration_lab.paths import ROOT
from migration_lab.server import startstate
from migration_lab.server.embedded import Embedded, open_to_others
from migration_lab.server.postgres import Server, server
from migration_lab.server.programs import find, wheel_folder
from migration_lab.workspace import Workspace


def pytest_addoption(parser):
    parser.addoption(
        "--restart", action="store_true", help="restart a lesson's kernel in the middle of its second run, and go on"
    )


def pytest_configure(config):
    # In a script's background job it is ignored, and what the tests start would inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        shared = tempfile.mkdtemp(prefix="migration-lab-tests-")
        os.chmod(shared, 0o711)  # as root, the server runs as another user
        os.environ["LAB_TESTS_SHARED"] = shared
        os.environ["LAB_TESTS_CHOICE"] = (
            os.environ.get("LAB_POSTGRES") or os.environ.get("LAB_DATABASE_URL") or "embedded"
        )


_ahead = ThreadPoolExecutor(1)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session):
    """Start the server while the workers of `pytest -n` start, not after them."""
    if session.config.getoption("numprocesses", None) and not session.config.option.collectonly:
        _ahead.submit(_shared_url)


def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):
        _ahead.shutdown()
        shared = Path(os.environ.pop("LAB_TESTS_SHARED"))
        Embedded(Workspace(shared)).discard()
        shutil.rmtree(shared, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(file_path, parent):
    collectors = yield
    return [LessonFile.from_parent(parent, path=file_path) if isinstance(one, IPyNbFile) else one for one in collectors]


ANSWERS = "tests/grading/test_exercises.py"


def pytest_xdist_auto_num_workers(config):
    """Two for each processor: tests wait for a lock, a report or traffic during half of their time."""
    return 2 * (os.cpu_count() or 1)


class FilesAndAnswers(LoadFileScheduling):
    """What a worker of `pytest -n` takes next: a file, since the cells of a notebook share a kernel, or one answer to an
    exercise.

    Lessons with traffic come first, at most two at once, beside files of short tests: a cell with traffic waits for what
    is still running, and everybody waits for the cell.
    """

    AT_ONCE = 2

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if nodeid.startswith(ANSWERS) else super()._split_scope(nodeid)

    def _assign_work_unit(self, node) -> None:
        scopes = list(self.workqueue)
        busy = sum(map(self._has_traffic_left, self.assigned_work))
        wanted = busy < self.AT_ONCE and not self._has_traffic_left(node)
        taken = next((scope for scope in scopes if has_traffic(scope) == wanted), scopes[0])
        self.workqueue.move_to_end(taken, last=False)
        super()._assign_work_unit(node)

    def _has_traffic_left(self, node) -> bool:
        return any(has_traffic(scope) and not all(done.values()) for scope, done in self.assigned_work[node].items())


@cache
def has_traffic(scope: str) -> bool:
    """Whether a file is a lesson in which traffic runs."""
    return scope.endswith(".ipynb") and '"%%traffic' in (ROOT / scope).read_text(encoding="utf-8")


def pytest_xdist_make_scheduler(config, log):
    config.option.loadscopereorder = False
    return FilesAndAnswers(config, log)


# These come first, while lessons with traffic run: a cell with traffic waits for each test that is running, and in other
# files one takes ten seconds and more.
SHORT = (
    "notebooks",
    "tests/course/test_links",
    "tests/course/test_predictions",
    "tests/grading/explanations",
    "tests/grading/probes",
    "tests/learner/test_progress",
    "tests/notebook/test_magics",
    "tests/notebook/test_sessions",
    "tests/pictures",
    "tests/runner",
    "tests/xray/test_moments",
    "tests/xray/test_program",
    "tests/xray/test_xray_",
)


def pytest_collection_modifyitems(config, items):
    """The answers come last, to fill up the end; those of the last lessons take the longest, and come first of them."""
    answers = [item for item in items if item.nodeid.startswith(ANSWERS)]
    others = [item for item in items if not item.nodeid.startswith(ANSWERS)]
    items[:] = sorted(others, key=lambda item: not item.nodeid.startswith(SHORT)) + answers[::-1]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Under `pytest -n`, a cell with traffic has the machine to itself, as it has a learner's.

    On a busy one, a migration that waits for a processor waits with its locks held, and sessions wait where none would.
    """
    if not hasattr(item.config, "workerinput"):
        return (yield)
    compared = isinstance(item, IPyNbCell) and not isinstance(item, CellAgain)
    kind = "" if compared and item.cell.source.startswith("%%traffic") else "_shared"
    _turns().execute(f"SELECT pg_advisory_lock{kind}(1)")
    try:
        return (yield)
    finally:
        _turns().execute(f"SELECT pg_advisory_unlock{kind}(1)")


@cache
def _turns() -> psycopg.Connection:
    """This worker's session for a lock that the workers share; PostgreSQL grants it in the order in which they asked."""
    return server(_shared_url()).connect()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Give the kernel of each notebook a workspace of its own, as each learner has, on a server with its start state."""
    os.environ.pop("JPY_SESSION_NAME", None)  # of the notebook before, or of a JupyterLab in whose terminal tests run
    if isinstance(item, IPyNbCell):
        os.environ["LAB_POSTGRES"] = _shared_url()
        os.environ["LAB_WORK"] = str(Path(os.environ["LAB_TESTS_SHARED"]) / item.path.stem)
        os.environ["JPY_SESSION_NAME"] = str(item.path)  # as Jupyter Server names a kernel's notebook
        startstate.ensure_template(server(), find_lesson(item.path.name).start)


@cache
def _shared_url() -> str:
    chosen = os.environ["LAB_TESTS_CHOICE"]
    shared = server(chosen, Workspace(Path(os.environ["LAB_TESTS_SHARED"])))
    if chosen == "embedded" or os.environ.get("LAB_TESTS_THROWAWAY"):
        with shared.connect() as session:
            # A start state that is built beside a lesson keeps the disk busy, and the lesson's lock is held until the disk
            # has its commit: sessions would seem to wait for a statement when they waited for the disk.
            session.execute("ALTER SYSTEM SET fsync = off")
            # And a worker of autovacuum that comes by holds locks, which %locks tells of.
            session.execute("ALTER SYSTEM SET autovacuum = off")
            session.execute("SELECT pg_reload_conf()")
    return shared.url.render_as_string(hide_password=False)


def programs() -> Path:
    """The folder of psql and pg_dump."""
    return find(Workspace(Path(os.environ["LAB_TESTS_SHARED"]))).folder


@pytest.fixture(scope="session")
def running() -> Server:
    """The server that all tests share."""
    return server(_shared_url())


@pytest.fixture
def workspace(tmp_path, monkeypatch, running) -> Workspace:
    """A new learner's folder, in a path that people really have, on the shared server."""
    path = tmp_path / "Zoë's work"
    monkeypatch.setenv("LAB_WORK", str(path))
    monkeypatch.setenv("LAB_POSTGRES", running.url.render_as_string(hide_password=False))
    workspace = Workspace()
    yield workspace
    drop_databases(running, workspace)


def drop_databases(running: Server, workspace: Workspace) -> None:
    """Drop what a workspace has on a server that it shares."""
    with running.connect() as session:
        for (name,) in session.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE %s", [f"%{workspace.tag}%"]
        ).fetchall():
            startstate.drop_database(session, name)


@pytest.fixture
def database(running):
    """An autocommit session in a new, empty database."""
    name = f"test_{os.getpid()}_{next(_count)}"
    startstate.create_database(running, name, "empty")
    with running.connect(name) as session:
        yield session
    with running.connect() as session:
        startstate.drop_database(session, name)


_count = iter(range(1_000_000))


@dataclass
class Ran:
    """What a cell left: the text that a learner reads under it, what it displayed by MIME type, and how it ended."""

    text: str
    shown: dict[str, str]
    value: object
    error: BaseException | None


@pytest.fixture
def shell(workspace, tmp_path, monkeypatch):
    """An IPython as a notebook's kernel has it, with the extension loaded: ``shell("%lesson 00")`` runs a cell."""
    environment = dict(os.environ)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    settings = Config()
    settings.HistoryManager.enabled = False
    settings.InteractiveShell.colors = "nocolor"
    ipython = InteractiveShell.instance(config=settings)

    def run(cell: str, **options) -> Ran:
        with capture_output() as captured:
            result = ipython.run_cell(cell, **options)
        # What a display has become is told by the last of those that name it.
        displays = {
            (one.transient or {}).get("display_id", number): one.data for number, one in enumerate(captured.outputs)
        }
        shown = next(iter(displays.values()), {})
        text = captured.stdout + captured.stderr + shown.get("text/plain", "")
        return Ran(text.strip(), shown, result.result, result.error_before_exec or result.error_in_exec)

    assert run("%load_ext migration_lab").text == ""
    yield run
    atexit.unregister(ipython.atexit_operations)
    ipython.restore_sys_module_state()
    InteractiveShell.clear_instance()
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture(scope="module")
def browser():
    """The machine's own Chromium."""
    from tests.browser import IN_CI, chromium, program  # not above: only tests marked browser need Playwright

    if program() is None:
        if IN_CI:
            pytest.fail("LAB_REQUIRE_BROWSER is set, and there is no Chromium here.")
        pytest.skip("There is no Chromium here.")
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def open_folder():
    """A folder in a path that people really have, and open as pytest's own are not: root's server is another user's."""
    folder = Path(tempfile.mkdtemp(prefix="Zoë's λ "))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def lab():
    """The lab in a terminal of its own: ``lab("open", "00", LAB_WORK=…)``; with ``wait=False`` it goes on beside."""

    def run(*arguments, wait=True, command=(), **variables):
        own = ("LAB_", "PG", "JUPYTER_", "COMPOSE_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        if "LAB_POSTGRES_BIN" in os.environ:  # the programs of the tests' own servers are those of the learner's
            environment["LAB_POSTGRES_BIN"] = os.environ["LAB_POSTGRES_BIN"]
        environment |= {name: str(value) for name, value in variables.items()}
        process = subprocess.Popen(
            [*command, sys.executable, "-m", "migration_lab", *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            start_new_session=True,
        )
        begun.append(process)
        if wait:
            process.said = process.communicate(timeout=300)[0]
        return process

    begun = []
    yield run
    for process in begun:
        process.kill()
        process.communicate()


@pytest.fixture
def become(open_folder):
    """``become(20001)``: the words before a command that make another user run it, and a folder of that user's.

    With ``named``, the command finds a line for that user id in /etc/passwd.
    """
    prefix = Path(sys.base_prefix)
    if not shutil.which("setpriv") or subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("needs setpriv and the right to mount")
    if not open_to_others(ROOT / ".venv"):
        pytest.skip(f"an ordinary user can't reach {ROOT}")
    show = ""
    if not open_to_others(prefix):  # a Python in /root: show it, and it alone, in a namespace of the command's own
        closed = next(folder for folder in reversed(prefix.parents) if not open_to_others(folder / "below"))
        aside = open_folder / "python"
        aside.mkdir(exist_ok=True)
        show = f'mount --bind "{prefix}" "{aside}" && mount -t tmpfs -o mode=755 tmpfs "{closed}"'
        show += f' && mkdir -p "{prefix}" && mount --bind "{aside}" "{prefix}" && '

    def user(uid: int, gid: int, named: bool = False) -> tuple[tuple[str, ...], Path]:
        home = open_folder / f"home of {uid}"
        home.mkdir(exist_ok=True)
        os.chown(home, uid, gid)
        name = ""
        if named:
            known = Path("/etc/passwd").read_text(encoding="utf-8")
            (open_folder / f"passwd {uid}").write_text(
                f"{known}learner{uid}:x:{uid}:{gid}::{home}:/bin/sh\n", encoding="utf-8"
            )
            name = f'mount --bind "{open_folder}/passwd {uid}" /etc/passwd && '
        script = f'{show}{name}exec setpriv --reuid {uid} --regid {gid} --clear-groups "$@"'
        return ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"), home

    return user


@pytest.fixture
def ordinary_user(become):
    """The words before a command that make the user nobody run it, and a folder of that user's."""
    import pwd

    nobody = pwd.getpwnam("nobody")
    return become(nobody.pw_uid, nobody.pw_gid)


@pytest.fixture
def open_programs():
    """The embedded server's programs in a place that PostgreSQL's own user reaches: else root's data is elsewhere too."""
    wheel = wheel_folder()
    if os.name != "nt" and os.geteuid() == 0 and wheel and not open_to_others(wheel):
        pytest.skip(f"as root, with programs in {wheel}, which is closed to other users")


@pytest.fixture
def small_disk(open_folder, open_programs):
    """A disk of 6 MB."""
    disk = open_folder / "disk"
    disk.mkdir(exist_ok=True)
    mount = shutil.which("mount")
    if (
        not mount
        or subprocess.run([mount, "-t", "tmpfs", "-o", "size=6m", "tmpfs", disk], capture_output=True).returncode
    ):
        pytest.skip("needs the right to mount a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)
