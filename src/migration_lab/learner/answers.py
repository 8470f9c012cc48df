"""A learner's answer: the files that they write into an exercise's project, and the solution to compare with."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

from migration_lab.course import Exercise
from migration_lab.files import content_digest, files_in, text_digest, write_whole
from migration_lab.workspace import Workspace
from migration_xray.errors import UserError

from .lesson import lay_files
from .progress import HONEST_TRIES, Progress


def write_answer(exercise: Exercise, file: str, text: str, workspace: Workspace) -> str:
    """Write an answer cell into a file of the exercise's project; returns a sentence about where it is.

    A version of the file that was written elsewhere, in an editor say, is saved under backups/ first. So is a later
    answer, where the cell has the starter or an older answer: a notebook that was not saved goes back to them.
    """
    path = PureWindowsPath(file)  # it takes both kinds of slash
    if path.anchor or ".." in path.parts:
        raise UserError(
            f"{file} is not in the exercise's project. Give a path such as migrations/versions/0004_name.py."
        )
    name, project = PurePosixPath(*path.parts), workspace.project(exercise.place)
    with workspace.locked(exercise.place):
        lay_files(exercise, project, False, workspace)
        target, key = project / name, f"{exercise.id}/{name}"
        if target.is_dir():
            raise UserError(f"{file} is a folder. Give the path of a file, such as migrations/versions/0004_name.py.")
        written: dict[str, list[str] | str] = workspace.read_json("answers.json", {})
        text, starter = text if text.endswith("\n") else text + "\n", _starter_digest(exercise, name)
        answers = _answers(written.get(key, []))
        new, old = text_digest(text), content_digest(target) if target.exists() else None
        is_older = new in (*answers, starter)
        saved = None
        if old not in (None, new, starter) and (old not in answers or is_older):
            saved = workspace.back_up(target)
        write_whole(target, text)
        workspace.write_json("answers.json", written | {key: [*(one for one in answers if one != new), new]})
    sentence = f"Written to {_from_work(target, workspace)}"
    return sentence + (f"; the version that stood there is saved as {_from_work(saved, workspace)}" if saved else "")


def files_to_edit(exercise: Exercise, workspace: Workspace) -> list[Path]:
    """The files of the exercise's project that a learner completes. They are written now if they were not there yet."""
    project = workspace.project(exercise.place)
    with workspace.locked(exercise.place):
        lay_files(exercise, project, False, workspace)
    return [project / name for name in exercise.to_edit]


def solution(exercise: Exercise, workspace: Workspace) -> dict[str, str]:
    """The solution's files, path → text. Raises UserError before a pass or three honest tries."""
    progress = Progress(workspace)
    if not progress.may_see_solution(exercise):
        tries = progress.tries(exercise)
        raise UserError(
            f"The solution of {exercise.id} opens when you pass, or after {HONEST_TRIES} honest tries "
            f"({tries} so far). `%hint {exercise.id}` helps until then."
        )
    progress.saw_solution(exercise)
    folder = exercise.folder / "solution"
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in files_in(folder)}


def _answers(written: list[str] | str) -> list[str]:
    """The answers that cells wrote into a file, the latest last. Older labs noted the latest alone."""
    return [written] if isinstance(written, str) else written


def _starter_digest(exercise: Exercise, name: PurePosixPath) -> str | None:
    starter = exercise.folder / "starter" / name
    return content_digest(starter) if starter.exists() else None


def _from_work(path: Path, workspace: Workspace) -> str:
    return path.relative_to(workspace.path).as_posix()
