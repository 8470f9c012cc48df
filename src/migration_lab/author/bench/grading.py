"""Answers and their grading: %check, and `lab check` with many."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import cycle, islice

import psutil

from migration_lab import grading
from migration_lab.course import Exercise, exercises, find_exercise
from migration_lab.files import files_in
from migration_lab.learner import lay_files
from migration_lab.paths import ROOT
from migration_lab.runner import Runner
from migration_xray.errors import UserError

from .learner import LESSON, learner
from .measurement import Timed, timed
from .program import run

CELL_SECONDS = 60  # that a cell may take


@contextmanager
def check() -> Iterator[list[Timed]]:
    """Every exercise's solution in turn, in a kernel: the answer cell and the check, after a moment of thought."""
    from jupyter_client.manager import start_new_kernel

    with learner() as (workspace, _):
        manager, client = start_new_kernel(kernel_name="python3", cwd=str(workspace.path), stderr=subprocess.DEVNULL)
        turns = cycle(one for one in exercises().values() if one.start != "large")

        def run(code: str) -> str:
            said: list[dict] = []
            client.execute_interactive(code, timeout=CELL_SECONDS, output_hook=said.append)
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
        yield [lambda: timed(lambda: run([sys.executable, "-m", "migration_lab", "check", *pairs, "--json"], ROOT))]
