"""Grade folders of files as answers to exercises: for authors, instructors and tests. No workspace is touched."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TypeVar

from migration_lab.course import DELETED, Exercise, find_exercise, lay_start, starting
from migration_lab.errors import in_words
from migration_lab.files import IGNORED
from migration_lab.learner import Grade, Outcome, shown
from migration_lab.runner import Runner, Stopped
from migration_lab.server import Server, server
from migration_xray.errors import UserError
from migration_xray.words import listed

from .grader import grade, silently

NOT_THE_ANSWERS = {DELETED, "expect.txt", "why.txt"}  # files in an answer's folder that are about it
AT_ONCE = 2  # gradings; each waits for the server during much of its time
STEM = "check_answer_"
Found = TypeVar("Found")


@dataclass(frozen=True)
class Verdict:
    """What was found about one answer: a grade, or why there is none."""

    exercise: str
    folder: Path
    outcome: Outcome
    message: str
    at_fault: bool

    def __str__(self) -> str:
        return f"{self.exercise}, {self.folder}\n{shown(self.outcome, self.message)}"

    def to_dict(self) -> dict[str, str | bool]:
        """What ``lab check --json`` prints of it."""
        return {
            "exercise": self.exercise,
            "outcome": self.outcome.value,
            "message": self.message,
            "at_fault": self.at_fault,
        }


def status(verdicts: Iterable[Verdict]) -> int:
    """The exit status of ``lab check``: 0 if all passed, 2 if one could not run and is not why, else 1."""
    verdicts = list(verdicts)
    if not all(verdict.at_fault for verdict in verdicts):
        return 2
    return 0 if all(verdict.outcome is Outcome.PASSED for verdict in verdicts) else 1


def grade_all(asked: Sequence[tuple[str, Path]], tell: Callable[[Verdict], None]) -> list[Verdict]:
    """Grade each (exercise's id, answer's folder); ``tell`` is called with each verdict, in this order, once it is there.

    They share one server. An interrupt ends what is at work and drops its databases before it goes on.
    """
    choose_server = chosen_once()

    def verdict(words: str, folder: Path, say: Callable[[str], None]) -> Verdict:
        try:
            exercise = find_exercise(words)
            _insist_on_answer(exercise, folder)
        except UserError as error:
            return Verdict(words, folder, Outcome.COULD_NOT_RUN, str(error), at_fault=False)
        found = grade_answer(exercise, [folder], choose_server, say)
        return Verdict(exercise.id, folder, found.outcome, found.message, found.at_fault)

    return _side_by_side([partial(verdict, *one) for one in asked], tell)


def grade_each(
    exercise: Exercise,
    answers: Sequence[Sequence[Path]],
    choose_server: Callable[[], Server],
    tell: Callable[[Grade], None],
) -> list[Grade]:
    """Grade many answers to one exercise, each as :func:`grade_answer` does; ``tell`` as in :func:`grade_all`."""
    return _side_by_side([partial(grade_answer, exercise, folders, choose_server) for folders in answers], tell)


def _side_by_side(
    gradings: Sequence[Callable[[Callable[[str], None]], Found]], tell: Callable[[Found], None]
) -> list[Found]:
    """Run gradings, some at once; each is called with what it has to call at each of its steps."""
    Runner.warm_up()
    interrupted = threading.Event()

    def say(step: str) -> None:
        if interrupted.is_set():
            raise Stopped("the grading was interrupted")

    found = []
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            for future in [pool.submit(grading, say) for grading in gradings]:
                found.append(future.result())
                tell(found[-1])
        except BaseException:
            interrupted.set()
            pool.shutdown(wait=False, cancel_futures=True)
            Runner.end_all()
            raise
    return found


def grade_answer(
    exercise: Exercise,
    folders: Sequence[Path],
    choose_server: Callable[[], Server],
    say: Callable[[str], None] = silently,
) -> Grade:
    """Grade the files of these folders, laid over the exercise's starter one after the other."""

    def lay(project: Path) -> None:
        lay_start(project, exercise)
        for folder in folders:
            for name in deleted(folder):
                (project / name).unlink(missing_ok=True)
            shutil.copytree(folder, project, dirs_exist_ok=True, ignore=_left_out(folder))

    found = grade(exercise, lay, choose_server, STEM, say)
    Runner.warm_up()  # where processes can't be forked, the next answer need not wait for one
    if found.outcome is Outcome.NOT_ATTEMPTED:
        files = listed(exercise.to_edit)
        return replace(found, message=f"the starter is unchanged. Put the answer into the folder as {files}.")
    return found


def deleted(folder: Path) -> list[PurePosixPath]:
    """The starter's files that an answer's ``delete.txt`` names, one path a line.

    Raises UserError where one is outside of the project.
    """
    file = folder / DELETED
    if not file.is_file():
        return []
    lines = file.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    names = [line.strip() for line in lines if line.strip()]
    paths = [PureWindowsPath(name) for name in names]  # it takes both kinds of slash
    for name, path in zip(names, paths, strict=True):
        if path.anchor or ".." in path.parts:
            raise UserError(f"{file} names {name}, which is not in the exercise's project. {_EXPECTED}")
    return [PurePosixPath(*path.parts) for path in paths]


_EXPECTED = "Write the path of a file of the starter on each line, such as migrations/versions/0004_name.py."


def _insist_on_answer(exercise: Exercise, folder: Path) -> None:
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder. Give one with the answer's files, each at its path in the project.")
    for name in deleted(folder):
        if name.as_posix() not in starting(exercise):
            raise UserError(f"{folder / DELETED} names {name}, and {exercise.id} begins with no such file. {_EXPECTED}")


def _left_out(folder: Path) -> Callable[[str, list[str]], set[str]]:
    def left_out(place: str, names: list[str]) -> set[str]:
        notes = NOT_THE_ANSWERS if Path(place) == folder else set()
        return IGNORED(place, names) | (notes & set(names))

    return left_out


def chosen_once() -> Callable[[], Server]:
    """The learner's choice of a server, found or refused once: a server that can't be had is waited for."""
    try:
        with in_words():
            running = server()
    except UserError as error:
        refusal = error

        def refuse() -> Server:
            raise refusal

        return refuse
    return lambda: running
