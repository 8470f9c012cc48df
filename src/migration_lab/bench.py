"""Measure the lab beside what it is built on, in one run: the same work bare, and as the lab does it.

Each round times both, one after the other, so that whatever else the machine does falls on both; what is told is the
median of the rounds' ratios. A measurement with nothing to compare with is told in seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from itertools import cycle
from pathlib import Path
from statistics import median

from psycopg import sql

from . import command, lesson, startstate
from .course import NOTEBOOKS, ROOT, Exercise, exercises, find_lesson
from .embedded import Embedded
from .errors import LabError
from .postgres import Server, environment, server
from .refresh import new_learner
from .workspace import Workspace, files_in, write_whole

BIN = Path(sys.executable).parent
LESSON = find_lesson("00")
WAIT = 60  # seconds that a JupyterLab may take until it answers
Timed = Callable[[], float]


@dataclass(frozen=True)
class Measurement:
    """What is measured, beside what, and the goal.

    ``prepare`` is a context that gives one or two functions, each doing the work once and returning its seconds: the
    lab's, and the bare one's. The goal is a ratio of the two, after ``allowance`` seconds are taken off the lab's; or
    seconds, where there is one function. Without ``always`` it is only run when it is named.
    """

    ours: str
    bare: str | None
    goal: float | None
    prepare: Callable[[], contextmanager]
    rounds: int
    allowance: float = 0.0
    always: bool = True

    def run(self, rounds: int, tell: Callable[[str], None]) -> dict:
        """Do it; the result is what ``--json`` writes of it, such as

        {"ours": {"what": "%alembic upgrade head", "seconds": [0.02, 0.03]},
         "bare": {"what": "alembic upgrade head", "seconds": [0.4, 0.5]}, "ratios": [0.05, 0.06],
         "goal": 0.2, "allowance_seconds": 0.0, "met": true}

        with null for the bare one, its ratios, the goal and whether it is met, where there is none.
        """
        tell("getting ready")
        taken = []
        with self.prepare() as functions:
            for number in range(1, rounds + 1):
                tell(f"round {number} of {rounds}")
                taken.append([round(function(), 4) for function in functions])
        result = {
            "ours": {"what": self.ours, "seconds": [seconds[0] for seconds in taken]},
            "bare": {"what": self.bare, "seconds": [seconds[1] for seconds in taken]} if self.bare else None,
            "ratios": [round(ours / bare, 3) for ours, bare in taken] if self.bare else None,
            "goal": self.goal,
            "allowance_seconds": self.allowance,
            "met": None,
        }
        if self.goal is not None:
            compared = [(ours - self.allowance) / (bare[0] if bare else 1) for ours, *bare in taken]
            result["met"] = median(compared) <= self.goal
        return result


def main(arguments: list[str] | None = None) -> int:
    """Measure what is named, or all that takes no network; print a table."""
    names = ", ".join(MEASUREMENTS)
    parser = argparse.ArgumentParser("bench.py", description=__doc__.split("\n")[0], epilog=f"NAME is one of {names}.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="by default all but setup, which takes some minutes")
    parser.add_argument("--all", action="store_true", help="setup too")
    parser.add_argument("--rounds", type=int, metavar="N", help="by default as many as each needs to be steady")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in MEASUREMENTS]:
        parser.error(f'there is no measurement "{unknown[0]}"; the names are {names}')
    if options.rounds is not None and options.rounds < 1:
        parser.error(f"--rounds {options.rounds} measures nothing; give 1 or more")
    chosen = options.names or [name for name, one in MEASUREMENTS.items() if one.always or options.all]
    results, failed = {}, False
    for name in chosen:
        one, tell = MEASUREMENTS[name], teller(name)
        try:
            results[name] = one.run(options.rounds or one.rounds, tell)
            tell("done")
        except (LabError, OSError) as error:
            tell(f"could not be measured: {error}")
            failed = True
        except KeyboardInterrupt:
            tell("stopped")
            return 130
    if results:
        print(table(results))
    if options.json:
        try:
            text = json.dumps({"machine": machine(), "measurements": results}, indent=1)
            write_whole(options.json.absolute(), text + "\n")
        except OSError as error:
            print(f"{options.json} could not be written: {error.strerror}.", file=sys.stderr)
            failed = True
    return int(failed)


def teller(name: str) -> Callable[[str], None]:
    """A function that tells how far a measurement is: in one line on a terminal, else every tenth round."""
    live = sys.stderr.isatty()

    def tell(words: str) -> None:
        under_way = words.startswith(("getting", "round"))
        if live:
            print(f"\r{name}: {words}".ljust(50), end="" if under_way else "\n", file=sys.stderr, flush=True)
        elif not re.match(r"round \d*[^1] ", words):
            print(f"{name}: {words}", file=sys.stderr, flush=True)

    return tell


def machine() -> dict:
    return {"system": platform.platform(), "cpus": os.cpu_count(), "python": platform.python_version()}


# The table


def table(results: dict[str, dict]) -> str:
    """The results, a line each, under headings."""
    lines = [("", "the lab", "bare", "ratio (from to)", "goal", ""), *(_line(*item) for item in results.items())]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = ["  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    legend = [f"{name}: {result['ours']['what']}" + _beside(result) for name, result in results.items()]
    return "\n".join([*shown, "", *legend])


def _line(name: str, result: dict) -> tuple[str, ...]:
    ours, bare, ratios, goal = result["ours"]["seconds"], result["bare"], result["ratios"], result["goal"]
    allowance = f" + {_time(result['allowance_seconds'])}" if result["allowance_seconds"] else ""
    return (
        name,
        _time(median(ours)),
        _time(median(bare["seconds"])) if bare else "",
        f"{median(ratios):.2f} ({min(ratios):.2f} {max(ratios):.2f})" if ratios else "",
        "" if goal is None else f"at most {goal:g} × bare{allowance}" if bare else f"at most {_time(goal)}",
        {True: "met", False: "NOT MET", None: ""}[result["met"]],
    )


def _beside(result: dict) -> str:
    return f", beside {result['bare']['what']}" if result["bare"] else ""


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


# What is measured


@contextmanager
def learner() -> Iterator[tuple[Workspace, Server]]:
    """A new learner whose embedded server runs and has the small start state."""
    with new_learner() as workspace, startstate.variables(_settings(workspace)):
        running = server(workspace=workspace)
        startstate.ensure_template(running, "small")
        yield workspace, running


def _settings(workspace: Workspace) -> dict[str, str]:
    return {
        "LAB_WORK": str(workspace.path),
        "LAB_POSTGRES": "embedded",
        "JUPYTER_RUNTIME_DIR": str(workspace.path / "runtime"),
    }


@contextmanager
def setup() -> Iterator[list[Timed]]:
    """pip's cache is filled first: what is compared is the work, not the network."""
    with tempfile.TemporaryDirectory(prefix="migration-lab-", ignore_cleanup_errors=True) as folder:
        clone, bare = Path(folder) / "clone", Path(folder) / "bare"
        code = "import sys; sys.path.insert(0, 'scripts'); import environment; environment.set_up()"

        def ours() -> float:
            shutil.rmtree(clone, ignore_errors=True)
            for name in ("scripts", "src"):
                shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
            for name in ("pyproject.toml", "requirements.lock", "README.md", "LICENSE"):
                shutil.copy(ROOT / name, clone)
            return timed(lambda: _run([sys._base_executable, "-c", code], clone))

        def pip() -> float:
            shutil.rmtree(bare, ignore_errors=True)
            _run([sys._base_executable, "-m", "venv", bare], ROOT)
            python = bare / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
            install = [python, "-m", "pip", "install", "--require-hashes", "-r", ROOT / "requirements.lock"]
            return timed(lambda: _run(install, ROOT))

        pip()
        yield [ours, pip]


@contextmanager
def start() -> Iterator[list[Timed]]:
    with learner() as (workspace, _):
        workspace.refresh_notebooks()

        def ours() -> float:
            Embedded(workspace).stop()
            return _until_it_answers([sys._base_executable, ROOT / "scripts" / "lab.py"], workspace)

        def bare() -> float:
            return _until_it_answers([BIN / "jupyter", "lab", "--allow-root"], workspace)

        yield [ours, bare]


def _until_it_answers(program: list, workspace: Workspace) -> float:
    """The seconds from a JupyterLab's start to its first page; it is shut down then."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    page = f"http://127.0.0.1:{port}/%s?token=bench"
    options = ["--no-browser", f"--port={port}", "--IdentityProvider.token=bench", "--ServerApp.port_retries=0"]
    with open(workspace.path / "jupyter.log", "wb") as log:
        began = time.perf_counter()
        process = subprocess.Popen([*program, *options], stdout=log, stderr=log, cwd=workspace.path)
        while not _answers(page % "lab"):
            if process.poll() is not None or time.perf_counter() - began > WAIT:
                process.kill()
                said = Path(log.name).read_text(encoding="utf-8", errors="replace")
                raise LabError(f"JupyterLab did not answer within {WAIT} seconds. It said:\n{said}")
            time.sleep(0.01)
        taken = time.perf_counter() - began
        _open(urllib.request.Request(page % "api/shutdown", method="POST"))
        process.wait(WAIT)
    return taken


def _answers(page: str) -> bool:
    try:
        return _open(page).status == 200
    except OSError:
        return False


_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


@contextmanager
def first() -> Iterator[list[Timed]]:
    with new_learner() as workspace:

        def ours() -> float:
            Embedded(workspace).discard()
            return timed(Embedded(workspace).start)

        yield [ours]


@contextmanager
def later() -> Iterator[list[Timed]]:
    with new_learner() as workspace:
        Embedded(workspace).start()

        def ours() -> float:
            Embedded(workspace).stop()
            return timed(Embedded(workspace).start)

        yield [ours]


@contextmanager
def opening() -> Iterator[list[Timed]]:
    """A lesson that has been opened before, its database gone: what a learner meets after a `git pull`."""
    with learner() as (workspace, running):

        def ours() -> float:
            _drop(running, LESSON.place)
            shutil.rmtree(workspace.project(LESSON.place), ignore_errors=True)
            return timed(lambda: lesson.open(LESSON, workspace=workspace))

        yield [ours, _clone(running)]


@contextmanager
def resetting() -> Iterator[list[Timed]]:
    """A reset of files that the learner has changed, so that they are saved first."""
    with learner() as (workspace, running):
        lesson.open(LESSON, workspace=workspace)
        changes = iter(range(1_000_000))

        def ours() -> float:
            note = workspace.project(LESSON.place) / "note.txt"
            note.write_text(str(next(changes)), encoding="utf-8")
            _drop(running, "bare")
            return timed(lambda: lesson.open(LESSON, reset=True, workspace=workspace))

        yield [ours, _clone(running)]


def _clone(running: Server) -> Timed:
    with running.connect() as session:
        template = startstate.template_name("small", session.info.user)
    statement = sql.SQL("CREATE DATABASE bare TEMPLATE {}").format(sql.Identifier(template))

    def bare() -> float:
        _drop(running, "bare")
        with running.connect() as session:
            return timed(lambda: session.execute(statement))

    return bare


def _drop(running: Server, database: str) -> None:
    """Drop a database, and leave nothing unwritten: the next DROP or CREATE DATABASE would have to wait for it."""
    with running.connect() as session:
        startstate.drop_database(session, database)
        session.execute("CHECKPOINT")


REVISION = """
revision = "0004_bench"
down_revision = "0003_orders"
def upgrade(): pass
def downgrade(): pass
"""


@contextmanager
def alembic() -> Iterator[list[Timed]]:
    """A revision that costs the server next to nothing: what is compared is the way to it."""
    with learner() as (workspace, running):
        opened = lesson.open(LESSON, workspace=workspace)
        (opened.project / "migrations" / "versions" / "0004_bench.py").write_text(REVISION, encoding="utf-8")
        upgrade, downgrade = ["upgrade", "head"], ["downgrade", "-1"]

        def in_process(arguments: list[str]) -> None:
            command.run(arguments, opened.project, StringIO())

        def ours() -> float:
            taken = timed(lambda: in_process(upgrade))
            in_process(downgrade)
            return taken

        def bare() -> float:
            taken = timed(lambda: _run([BIN / "alembic", *upgrade], opened.project))
            in_process(downgrade)
            return taken

        with startstate.variables(environment(opened.url)):
            in_process(upgrade)
            in_process(downgrade)
            yield [ours, bare]


@contextmanager
def check() -> Iterator[list[Timed]]:
    """Every exercise's solution in turn, in a kernel: the answer cell and the check, after a moment of thought."""
    from jupyter_client.manager import start_new_kernel

    with learner() as (workspace, _):
        manager, client = start_new_kernel(kernel_name="python3", cwd=str(workspace.path), stderr=subprocess.DEVNULL)
        turns = cycle(one for one in exercises().values() if one.start != "large")

        def run(code: str) -> str:
            said: list[dict] = []
            client.execute_interactive(code, timeout=WAIT, output_hook=said.append)
            return "\n".join(str(message["content"]) for message in said)

        def ours() -> float:
            exercise = next(turns)
            cells = [*_answer_cells(exercise), f"%check {exercise.id}"]
            time.sleep(2)
            began = time.perf_counter()
            feedback = [run(cell) for cell in cells][-1]
            taken = time.perf_counter() - began
            if "Passed" not in feedback:
                raise LabError(f"The solution of {exercise.id} did not pass:\n{feedback}")
            return taken

        try:
            run(f"%load_ext migration_lab\n%lesson {LESSON.number}")
            yield [ours]
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


def _answer_cells(exercise: Exercise) -> list[str]:
    solution = exercise.folder / "solution"
    paths = [file.relative_to(solution).as_posix() for file in files_in(solution)]
    return [f"%%answer {exercise.id} {path}\n{(solution / path).read_text(encoding='utf-8')}" for path in paths]


@contextmanager
def notebooks() -> Iterator[list[Timed]]:
    """Each makes a server of its own, and ends it."""

    def ours() -> float:
        with startstate.variables({"LAB_POSTGRES": "embedded"}):
            return timed(lambda: _run([sys.executable, "-m", "pytest", "-q", "-n", "2", NOTEBOOKS], ROOT))

    def execute() -> None:
        with new_learner() as workspace, startstate.variables(_settings(workspace)):
            _run([BIN / "jupyter", "execute", *sorted(NOTEBOOKS.glob("*.ipynb"))], ROOT)

    def bare() -> float:
        return timed(execute)

    yield [ours, bare]


def _run(arguments: list, folder: Path) -> None:
    """Run a program to its end. Raises LabError with its last words where it fails."""
    done = subprocess.run(arguments, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode:
        said = (done.stdout + done.stderr).decode("utf-8", "replace").strip()[-2000:]
        raise LabError(f"`{' '.join(map(str, arguments))}` failed (exit status {done.returncode}). It said:\n{said}")


CLONE = "CREATE DATABASE … TEMPLATE"
MEASUREMENTS = {
    "setup": Measurement(
        "setting up a fresh clone", "pip install --require-hashes of the same lock", 1.15, setup, rounds=3, always=False
    ),
    "start": Measurement(
        "a second scripts/lab.py until JupyterLab answers, its server stopped", "jupyter lab", 1.3, start, rounds=5
    ),
    "first": Measurement("the embedded server's first start", None, None, first, rounds=5),
    "later": Measurement("the embedded server's later starts", None, None, later, rounds=9),
    "open": Measurement("opening lesson 00", CLONE, 1.3, opening, rounds=25, allowance=0.1),
    "reset": Measurement("resetting lesson 00, a changed file saved", CLONE, 1.3, resetting, rounds=25, allowance=0.1),
    "alembic": Measurement("%alembic upgrade head", "alembic upgrade head", 0.2, alembic, rounds=9),
    "check": Measurement("an answer cell and %check, until the feedback", None, 1.0, check, rounds=15),
    "notebooks": Measurement("pytest -n 2 notebooks", "jupyter execute of the same ones", 0.8, notebooks, rounds=3),
}


if __name__ == "__main__":
    raise SystemExit(main())
