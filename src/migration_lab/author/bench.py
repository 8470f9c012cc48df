"""Measure the lab beside what it is built on, in one run: the same work bare, and as the lab does it.

Each round times both, one after the other, so that whatever else the machine does falls on both; what is told is the
median of the rounds' ratios. A measurement with nothing to compare with is told in seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from io import StringIO
from itertools import cycle, islice
from pathlib import Path
from statistics import quantiles

import psutil
import psycopg
from psycopg import sql

from migration_lab import grading
from migration_lab.course import (
    Exercise,
    exercises,
    find_exercise,
    find_lesson,
    lay_files,
    open_place,
    refresh_notebooks,
)
from migration_lab.files import files_in, write_whole
from migration_lab.paths import NOTEBOOKS, ROOT, clone
from migration_lab.runner import Runner
from migration_lab.server import Embedded, Server, environment, free_port, server, startstate
from migration_lab.workspace import Workspace
from migration_xray import command
from migration_xray.errors import UserError
from migration_xray.traffic import Traffic, last_traffic
from migration_xray.watch import watching

from .measurement import Measurement, machine, table, teller, timed
from .refresh import new_learner

BIN = Path(sys.executable).parent
LESSON = find_lesson("00")
WAIT = 60  # seconds that a JupyterLab may take until it answers
Timed = Callable[[], float]
# The Python that this virtual environment was made from.
BASE_PYTHON = sys._base_executable  # type: ignore[attr-defined]  # typeshed leaves it out


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
    try:
        clone()
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    chosen = options.names or [name for name, one in MEASUREMENTS.items() if one.always or options.all]
    results, failed = {}, False
    for name in chosen:
        one, tell = MEASUREMENTS[name], teller(name)
        try:
            results[name] = one.run(options.rounds or one.rounds, tell)
            tell("done")
        except (UserError, OSError) as error:
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
    """A learner's first set-up, and bare pip into an environment that is there already; each begins with an empty cache."""
    with tempfile.TemporaryDirectory(prefix="migration-lab-", ignore_cleanup_errors=True) as folder:
        clone, bare, cache = (Path(folder) / name for name in ("clone", "bare", "cache"))
        code = "import sys; sys.path.insert(0, 'scripts'); import environment; environment.set_up()"
        caches = {"PIP_CACHE_DIR": str(cache / "pip"), "UV_CACHE_DIR": str(cache / "uv")}

        def fetched(program: list, folder: Path) -> float:
            shutil.rmtree(cache, ignore_errors=True)
            with startstate.variables(caches):
                return timed(lambda: _run(program, folder))

        def ours() -> float:
            shutil.rmtree(clone, ignore_errors=True)
            for name in ("scripts", "src"):
                shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
            (clone / "tests").mkdir()
            for name in ("pyproject.toml", "requirements.lock", "tests/requirements.lock", "README.md", "LICENSE"):
                shutil.copy(ROOT / name, clone / name)
            return fetched([BASE_PYTHON, "-c", code], clone)

        def pip() -> float:
            shutil.rmtree(bare, ignore_errors=True)
            _run([BASE_PYTHON, "-m", "venv", bare], ROOT)
            python = bare / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
            install = [python, "-m", "pip", "install", "--require-hashes", "-r", ROOT / "requirements.lock"]
            return fetched(install, ROOT)

        yield [ours, pip]


@contextmanager
def start() -> Iterator[list[Timed]]:
    with learner() as (workspace, _):
        refresh_notebooks(workspace)

        def ours() -> float:
            Embedded(workspace).stop()
            return _until_it_answers([BASE_PYTHON, ROOT / "scripts" / "lab.py"], workspace)

        def bare() -> float:
            return _until_it_answers([BIN / "jupyter", "lab", "--allow-root"], workspace)

        yield [ours, bare]


def _until_it_answers(program: list, workspace: Workspace) -> float:
    """The seconds from a JupyterLab's start to its first page; it is shut down then."""
    port = free_port()
    page = f"http://127.0.0.1:{port}/%s?token=bench"
    options = ["--no-browser", f"--port={port}", "--IdentityProvider.token=bench", "--ServerApp.port_retries=0"]
    with open(workspace.path / "jupyter.log", "wb") as log:
        began = time.perf_counter()
        process = subprocess.Popen([*program, *options], stdout=log, stderr=log, cwd=workspace.path)
        while not _answers(page % "lab"):
            if process.poll() is not None or time.perf_counter() - began > WAIT:
                process.kill()
                said = Path(log.name).read_text(encoding="utf-8", errors="replace")
                raise UserError(f"JupyterLab did not answer within {WAIT} seconds. It said:\n{said}")
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
            return timed(lambda: open_place(LESSON, workspace=workspace))

        yield [ours, _clone(running)]


@contextmanager
def resetting() -> Iterator[list[Timed]]:
    """A reset of files that the learner has changed, so that they are saved first."""
    with learner() as (workspace, running):
        open_place(LESSON, workspace=workspace)
        changes = iter(range(1_000_000))

        def ours() -> float:
            note = workspace.project(LESSON.place) / "note.txt"
            note.write_text(str(next(changes)), encoding="utf-8")
            _drop(running, "bare")
            return timed(lambda: open_place(LESSON, reset=True, workspace=workspace))

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
        opened = open_place(LESSON, workspace=workspace)
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
def xray_large() -> Iterator[list[Timed]]:
    """A migration of a second or more: 300,000 rows are written."""
    with _migration("large", 'op.execute("UPDATE orders SET total = total + 1")') as functions:
        yield functions


@contextmanager
def xray_small() -> Iterator[list[Timed]]:
    """A hundred statements that take next to nothing each."""
    body = "for n in range(100):\n        op.execute(f'ALTER TABLE users ALTER COLUMN name SET STATISTICS {n}')"
    with _migration("small", body) as functions:
        yield functions


@contextmanager
def _migration(start: str, body: str) -> Iterator[list[Timed]]:
    """The upgrade of a revision with this body, under x-ray and by itself; before each the table is as it was."""
    revision = f'from alembic import op\n\nrevision = "0004_bench"\ndown_revision = "0003_orders"\n\n\ndef upgrade():\n    {body}\n'
    with learner() as (workspace, running), tempfile.TemporaryDirectory() as folder:
        project = Path(folder).resolve()
        startstate.lay_project(project, start)
        (project / "migrations" / "versions" / "0004_bench.py").write_text(revision, encoding="utf-8")

        def run(watch: bool) -> float:
            startstate.create_database(running, "bench", start)
            with running.connect() as session:
                session.execute("CHECKPOINT")
            with startstate.variables(environment(running.database_url("bench"))), watching("") if watch else nullcontext():
                return timed(lambda: command.run(["upgrade", "head"], project, StringIO()))

        yield [lambda: run(True), lambda: run(False)]


def _row(session: psycopg.Connection, query: str, key: int) -> None:
    session.execute(query, [key]).fetchone()


@contextmanager
def traffic() -> Iterator[list[Timed]]:
    """How steady the application is with no migration running: its reads' 99th percentile, and one plain session's."""
    with learner() as (_, running):
        startstate.create_database(running, "bench", "large")
        url = running.database_url("bench")

        def ours() -> float:
            with Traffic(url, "users"):
                time.sleep(3)
            felt = last_traffic()
            if felt.achieved < 0.95:
                raise UserError(f"The traffic kept only {felt.achieved:.0%} of its timetable.")
            return quantiles(felt.times("read"), n=100)[-1] / 1000

        def bare() -> float:
            with running.connect("bench") as session:
                read = "SELECT id, name, email, age, created_at FROM users WHERE id = %s"
                times = []
                for key in range(1, 151):
                    times.append(timed(partial(_row, session, read, key * 1000)))
                    time.sleep(0.02)
            return quantiles(times, n=100)[-1]

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
                raise UserError(f"The solution of {exercise.id} did not pass:\n{feedback}")
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
def check_cpu() -> Iterator[list[Timed]]:
    """first_step's solution, graded as %check does: processor time of this process and of what runs the migrations."""
    with learner() as (workspace, _):
        exercise = find_exercise("first_step")
        lay_files(exercise, project := workspace.project(exercise.place), True, workspace)
        shutil.copytree(exercise.folder / "solution", project, dirs_exist_ok=True)

        def ours() -> float:
            before = _processor_seconds()
            grade = grading.check(exercise, workspace)
            Runner.warm_up()
            if grade.outcome is not grading.Outcome.PASSED:
                raise UserError(f"The solution of {exercise.id} did not pass:\n{grade}")
            time.sleep(1)  # what is begun ahead for the next check, and what is cleared up after this one, counts too
            return _processor_seconds() - before

        Runner.warm_up()
        time.sleep(1)
        yield [ours]


def _processor_seconds() -> float:
    """Of this process and of all its descendants, as far as their parents have waited for those that ended."""
    times = os.times()
    total = times.user + times.system + times.children_user + times.children_system
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            total += sum(child.cpu_times()[:4])  # user, system, and of its children: 0 where the system does not tell
    return total


@contextmanager
def answers() -> Iterator[list[Timed]]:
    """The solutions of the course's first 20 exercises that begin with the small start state."""
    with learner():
        small = islice((one for one in exercises().values() if one.start == "small"), 20)
        pairs = [word for one in small for word in (one.id, "--answer", one.folder / "solution")]
        yield [lambda: timed(lambda: _run([sys.executable, "-m", "migration_lab", "check", *pairs, "--json"], ROOT))]


@contextmanager
def notebooks() -> Iterator[list[Timed]]:
    """Each makes a server of its own, and ends it."""

    def ours() -> float:
        with startstate.variables({"LAB_POSTGRES": "embedded"}):
            return timed(lambda: _run([sys.executable, "-m", "pytest", "-q", "-n", "2", "-m", "not again", NOTEBOOKS], ROOT))

    def execute() -> None:
        with new_learner() as workspace, startstate.variables(_settings(workspace)):
            _run([BIN / "jupyter", "execute", *sorted(NOTEBOOKS.glob("*.ipynb"))], ROOT)

    def bare() -> float:
        return timed(execute)

    yield [ours, bare]


def _run(arguments: list, folder: Path) -> None:
    """Run a program to its end. Raises UserError with its last words where it fails."""
    done = subprocess.run(arguments, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode:
        said = (done.stdout + done.stderr).decode("utf-8", "replace").strip()[-2000:]
        raise UserError(f"`{' '.join(map(str, arguments))}` failed (exit status {done.returncode}). It said:\n{said}")


CLONE = "CREATE DATABASE … TEMPLATE"
MEASUREMENTS = {
    "setup": Measurement(
        "setting up a fresh clone", "pip install --require-hashes of the same lock", 0.35, setup, rounds=3, always=False
    ),
    "start": Measurement(
        "a second scripts/lab.py until JupyterLab answers, its server stopped", "jupyter lab", 1.3, start, rounds=5
    ),
    "first": Measurement("the embedded server's first start", None, None, first, rounds=5),
    "later": Measurement("the embedded server's later starts", None, None, later, rounds=9),
    "open": Measurement("opening lesson 00", CLONE, 1.3, opening, rounds=25, allowance=0.1),
    "reset": Measurement("resetting lesson 00, a changed file saved", CLONE, 1.3, resetting, rounds=25, allowance=0.1),
    "alembic": Measurement("%alembic upgrade head", "alembic upgrade head", 0.2, alembic, rounds=9),
    "xray": Measurement("%xray upgrade head of a second or more", "%alembic upgrade head", 1.1, xray_large, rounds=5),
    "xray_small": Measurement(
        "%xray upgrade head of 100 small statements", "%alembic upgrade head", 1, xray_small, rounds=9, allowance=3.0
    ),
    "traffic": Measurement(
        "reads of %%traffic with no migration running, 99th percentile", "one session's, paced alike", None, traffic, rounds=5
    ),
    "check": Measurement("an answer cell and %check, until the feedback", None, 0.3, check, rounds=15),
    "check_cpu": Measurement("processor time of %check first_step, Python's alone", None, 0.25, check_cpu, rounds=15),
    "answers": Measurement("lab check with 20 answers to small exercises", None, 15, answers, rounds=3),
    "notebooks": Measurement("pytest -n 2 notebooks", "jupyter execute of the same ones", 0.8, notebooks, rounds=3),
}


if __name__ == "__main__":
    raise SystemExit(main())
