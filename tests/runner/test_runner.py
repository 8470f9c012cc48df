"""The process in which a learner's migrations run: it may do what it likes, and nobody else is hurt by it.

It is forked where that can be done, and started elsewhere; both kinds are tested here, with projects whose env.py does
the harm. (What a check says about it is test_grading.py's part.)
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from textwrap import dedent

import psutil
import pytest
from tests.waiting import wait_until

from migration_lab.runner import Runner, Stopped, forked, runner
from migration_xray.errors import AlembicError, UserError

forks = pytest.mark.skipif(not forked.AVAILABLE, reason="needs fork")
on_posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX process groups or signals")


@pytest.fixture(params=[pytest.param("forked", marks=forks), "spawned"])
def kind(request, monkeypatch):
    """How processes come to be."""
    monkeypatch.setattr(runner, "FORKS", request.param == "forked")
    monkeypatch.setattr(Runner, "spare", None)
    yield request.param
    if Runner.spare:
        Runner.spare.end()


@pytest.fixture
def project(tmp_path):
    """A project whose env.py is given, and does nothing else: ``project(code)`` is its folder."""
    folder = tmp_path / "project"
    (folder / "migrations" / "versions").mkdir(parents=True)
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/migrations\n")

    def write(code: str) -> Path:
        imports = "import os, pathlib, signal, stat, subprocess, sys, time\n"
        (folder / "migrations" / "env.py").write_text(imports + dedent(code), encoding="utf-8")
        return folder

    return write


def run(folder: Path, seconds: float = 60, **variables: str) -> str:
    """Run env.py in a new process; returns what it wrote into the file "said"."""
    with Runner.ready() as process:
        process.alembic(["upgrade", "head"], folder, variables, seconds)
    said = folder / "said"
    return said.read_text(encoding="utf-8") if said.exists() else ""


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_standard_streams_are_the_null_device(kind, project):
    """A migration that prints megabytes, or asks a question, must not talk to the process that waits for its result."""
    code = """
        null = os.stat(os.devnull)
        same = [os.path.samestat(os.fstat(number), null) for number in (0, 1, 2)]
        pathlib.Path("said").write_text(str(same))
        os.write(1, b"noise" * 100_000)
    """
    assert run(project(code)) == "[True, True, True]"


def test_the_next_process_sees_nothing_of_the_last_one(kind, project):
    """What one answer leaves in Python must not help or hurt the next."""
    code = """
        import json
        left = [hasattr(json, "left"), "LEFT" in os.environ, "left" in sys.modules, os.getcwd() == "/", "left" in sys.path]
        json.left = True
        os.environ["LEFT"] = "1"
        sys.modules["left"] = json
        sys.path.insert(0, "left")
        pathlib.Path("said").write_text(str(any(left)))
        os.chdir("/")
    """
    folder = project(code)
    assert [run(folder), run(folder)] == ["False", "False"]


def test_the_environment_is_as_it_is_now(kind, project, monkeypatch):
    """`%env PGSSLMODE=require` in a cell counts for the next check, though its process was made ready before."""
    monkeypatch.setenv("BEFORE", "1")
    Runner.warm_up()
    monkeypatch.delenv("BEFORE")
    monkeypatch.setenv("SINCE", "λ")
    code = 'names = "BEFORE", "SINCE", "OWN"\npathlib.Path("said").write_text(str([os.environ.get(n) for n in names]), "utf-8")'
    assert run(project(code), OWN="2") == "[None, 'λ', '2']"


def test_a_failure_comes_back_in_words(kind, project):
    with pytest.raises(AlembicError, match="ValueError: no") as failed:
        run(project("print('before'); raise ValueError('no')"))
    assert failed.value.where == "migrations/env.py, line 2"
    assert failed.value.printed == "before\n"


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("os._exit(7)", 7),
        pytest.param("os.kill(os.getpid(), signal.SIGKILL)", -9, marks=on_posix),
        pytest.param("os.closerange(3, 256)\nos._exit(3)", 3, marks=on_posix),
    ],
)
def test_an_exit_status_is_told(kind, project, code, status):
    with pytest.raises(Stopped, match=rf"ended its own process \(exit status {status}\) before it was done"):
        run(project(code))


@pytest.mark.parametrize(
    "code", ["while True: pass", pytest.param("os.closerange(3, 256); time.sleep(600)", marks=on_posix)]
)
def test_a_time_limit_ends_it(kind, project, code):
    folder = project(code)
    with Runner.ready() as process:
        with pytest.raises(Stopped, match="was not done within 2 seconds and was stopped"):
            process.alembic(["upgrade", "head"], folder, {}, 2)
        wait_until(lambda: not is_running(process.process.pid))


FAMILY = """
    def start(*more):
        code = f"import os, pathlib, time; pathlib.Path('pids', str(os.getpid())).touch(); time.sleep(600)"
        subprocess.Popen([sys.executable, "-c", code], *more)
    pathlib.Path("pids").mkdir()
    start()
    {then}
    while len(list(pathlib.Path("pids").iterdir())) < {count}: time.sleep(0.01)
"""


@pytest.mark.parametrize(
    ("then", "count"),
    [
        ("", 1),
        pytest.param(
            "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)", 1
        ),
        pytest.param(
            "if not os.fork(): os.setsid(); pathlib.Path('pids', str(os.getpid())).touch(); time.sleep(600)",
            2,
            marks=on_posix,
        ),
    ],
    ids=["a child", "a child in a session of its own", "a fork in a session of its own"],
)
def test_what_it_started_is_gone(kind, project, then, count):
    """A forgotten `sleep &` a check: after a workshop's morning the machine is full of them."""
    folder = project(FAMILY.format(then=then, count=count))
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    run(folder)
    started = [int(path.name) for path in (folder / "pids").iterdir()]
    assert len(started) == count
    wait_until(lambda: not any(map(is_running, started)))
    left = {child.pid for child in psutil.Process().children(recursive=True) if is_running(child.pid)} - before
    assert left <= {forked.pid()}


@on_posix
def test_an_orphan_is_gone_where_its_process_ended_itself(kind, project):
    """Its parent is gone, so nobody's family has it."""
    with pytest.raises(Stopped):
        run(project(FAMILY.format(then="", count=1) + "    os._exit(7)\n"))
    (started,) = (int(path.name) for path in (project("") / "pids").iterdir())
    wait_until(lambda: not is_running(started))


@on_posix
def test_one_that_got_away_keeps_nobody_waiting(kind, project):
    """A daemon that a migration starts by fork has a copy of the socket or the pipe that is read from."""
    code = """
        if not os.fork():
            os.setsid()
            if os.fork(): os._exit(0)
            pathlib.Path("pid").write_text(str(os.getpid()))
            time.sleep(20)
            os._exit(0)
        while not pathlib.Path("pid").exists() or not pathlib.Path("pid").read_text(): time.sleep(0.01)
        {then}
    """
    if kind == "spawned":
        pytest.skip("a pipe has no way to end the reader's wait")
    folder = project(code.format(then="while True: pass"))
    with pytest.raises(Stopped, match="within 2 seconds"):
        run(folder, 2)
    os.kill(int((folder / "pid").read_text()), signal.SIGKILL)


@forks
def test_a_killed_server_is_replaced(project):
    """`os.kill(os.getppid(), 9)`: the command goes on, another one beside it too, and so does the next."""
    with Runner.ready() as other:
        folder = project("os.kill(os.getppid(), signal.SIGKILL)\npathlib.Path('said').write_text('done')")
        server = forked.pid()
        assert run(folder) == "done"
        wait_until(lambda: not is_running(server))
        folder = project("pathlib.Path('said').write_text('again')")
        other.alembic(["upgrade", "head"], folder, {}, 60)
        assert (folder / "said").read_text() == "again"
        assert run(project("pathlib.Path('said').write_text('next')")) == "next"
    wait_until(lambda: not is_running(other.process.pid))
    assert forked.pid() not in (None, server)


@forks
def test_a_fork_of_the_server_is_safe(project):
    """A lock that another thread holds, and a session with PostgreSQL, would come along into every worker."""
    Runner.warm_up()
    run(project(""))
    server = psutil.Process(forked.pid())
    assert server.num_threads() == 1
    assert server.net_connections("inet") == []
    assert not is_running(server.pid) or server.children() == [], "a worker has not been reaped"


@forks
def test_a_worker_holds_nothing_of_another_one(project):
    """With another's socket it would keep that one's reader waiting; a program that it starts needs none at all."""
    count = """
import os, stat, sys
numbers = [number for number in os.listdir("/dev/fd") if os.path.exists(f"/dev/fd/{number}")]
found = sum(stat.S_ISSOCK(os.stat(f"/dev/fd/{number}").st_mode) for number in numbers)
"""
    code = f"""
        count = {count!r}
        exec(count)
        program = [sys.executable, "-c", count + "print(found)"]
        there = subprocess.run(program, close_fds=False, capture_output=True, text=True).stdout
        pathlib.Path("said").write_text(f"{{found}} {{there}}")
    """
    with Runner.ready(), Runner.ready():
        assert run(project(code)).split() == ["1", "0"]


@forks
def test_many_at_once(project):
    """Two gradings at a time ask one server."""
    folder = project("pathlib.Path('said', str(os.getpid())).touch(); time.sleep(0.2)")
    (folder / "said").mkdir()
    failed = []

    def one() -> None:
        try:
            with Runner.ready() as process:
                process.alembic(["upgrade", "head"], folder, {}, 60)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len(list((folder / "said").iterdir())) == 8


@on_posix
def test_all_is_gone_with_a_killed_notebook(kind, project, tmp_path):
    """A kernel that is restarted is killed, and a migration that loops would take a processor for ever."""
    folder = project("pathlib.Path('said').write_text(str(os.getpid()))\nwhile True: pass")
    notebook = f"""
from pathlib import Path
from migration_lab import runner
from migration_lab.runner import Runner
runner.FORKS = {kind == "forked"}
with Runner.ready() as process: process.alembic(["upgrade", "head"], Path({str(folder)!r}), {{}}, 600)
"""
    process = subprocess.Popen([sys.executable, "-P", "-c", notebook])
    said = folder / "said"
    wait_until(lambda: said.exists() and said.read_text())
    family = psutil.Process(process.pid).children(recursive=True)
    assert int(said.read_text()) in {one.pid for one in family}
    process.kill()
    process.wait()
    wait_until(lambda: not any(is_running(one.pid) for one in family))


def test_ending_all_ends_what_other_threads_wait_for(kind, project):
    """An interrupted batch of answers waits for none of them."""
    folder, ended = project("pathlib.Path('said').touch(); time.sleep(600)"), []

    def one() -> None:
        try:
            run(folder)
        except Stopped as end:
            ended.append(end)

    thread = threading.Thread(target=one)
    thread.start()
    wait_until((folder / "said").exists)
    Runner.end_all()
    thread.join(20)
    assert len(ended) == 1


@forks
def test_a_server_that_does_not_start_is_told(monkeypatch):
    """A broken installation is the lab's trouble and not the answer's."""
    monkeypatch.setattr(forked, "_server", None)
    monkeypatch.setattr(sys, "executable", "/bin/false" if os.path.exists("/bin/false") else "/usr/bin/false")
    with pytest.raises(UserError, match=r"did not start \(exit status 1\)"):
        Runner.ready()
