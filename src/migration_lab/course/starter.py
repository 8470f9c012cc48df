"""What an exercise begins with, and how an answer differs from it."""

from __future__ import annotations

import ast
import re
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from migration_lab.files import copy_into, files_in, write_whole
from migration_lab.server import startstate

from .manifest import Exercise, Lesson

DELETED = "delete.txt"  # in the folder of an answer: names the starter's files that the answer has removed

Answer = Mapping[str, bytes | None]  # path → content, None for a file of the starter that the answer has removed


@cache
def starting(exercise: Exercise) -> dict[str, bytes]:
    """The files that an exercise begins with: path → content."""
    with tempfile.TemporaryDirectory() as folder:
        start = Path(folder) / "start"
        lay_start(start, exercise)
        return contents(start)


def contents(folder: Path) -> dict[str, bytes]:
    """What a person may have written below a folder: path → content."""
    files = {file.relative_to(folder).as_posix(): file.read_bytes() for file in files_in(folder)}
    return {name: content for name, content in files.items() if Path(name).name != ".laid"}


def answer_in(exercise: Exercise, project: Path) -> Answer:
    """The files in which a project differs from the exercise's starter; spaces around a file's text are no difference."""
    start, found = starting(exercise), contents(project)
    changed = {
        name: content for name, content in found.items() if name not in start or content.strip() != start[name].strip()
    }
    return changed | {name: None for name in start if name not in found}


def solution_of(exercise: Exercise) -> Answer:
    """The solution, as an answer."""
    return contents(exercise.folder / "solution")


def given_files(exercise: Exercise) -> dict[str, bytes]:
    """The files that an answer leaves as they are: path → content.

    They are those of the exercise's own starter and all revisions, but for what the solution replaces.
    """
    own = {file.relative_to(exercise.folder / "starter").as_posix() for file in files_in(exercise.folder / "starter")}
    return {
        name: content
        for name, content in starting(exercise).items()
        if (name in own or name.startswith("migrations/versions/")) and name not in solution_of(exercise)
    }


def given_heads(exercise: Exercise) -> list[str]:
    """The last revisions that came with the exercise: an answer's own ones go on from them.

    [] where they are the first, or where the answer has no revision, but an env.py: then it is judged by those that are there.
    """
    if not any(name.startswith("migrations/versions/") for name in solution_of(exercise)):
        return []
    versions = Path("migrations", "versions")
    starter, solution = (exercise.folder / folder / versions for folder in ("starter", "solution"))
    files = [file for file in starter.glob("*.py") if not (solution / file.name).exists()]
    given = dict(map(_revision, files))
    return sorted(given.keys() - given.values())


def _revision(file: Path) -> tuple[str, str | None]:
    """The revision and the down revision of a file of the course's, which writes them as literals."""
    assigned = {
        target.id: statement.value
        for statement in ast.parse(file.read_bytes()).body
        if isinstance(statement, ast.Assign)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }
    return ast.literal_eval(assigned["revision"]), ast.literal_eval(assigned["down_revision"])


def lay_answer(exercise: Exercise, answer: Answer, project: Path) -> None:
    """Fill a folder with an exercise's starter and, over it, with an answer."""
    lay_start(project, exercise)
    for name, content in answer.items():
        file = project / name
        if content is None:
            file.unlink(missing_ok=True)
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)


def texts(exercise: Exercise, answer: Answer) -> dict[str, str]:
    """The text files of an exercise's project under an answer: path → text."""
    files = {name: content for name, content in (starting(exercise) | dict(answer)).items() if content is not None}
    return {name: content.decode("utf-8", errors="replace") for name, content in files.items()}


def lay_start(folder: Path, place: Lesson | Exercise) -> None:
    """Fill a folder with the files that a lesson or an exercise begins with."""
    if isinstance(place, Exercise):
        startstate.lay_project(folder, place.start, place.project)
        copy_into(folder, place.folder / "starter")
    elif place.project:
        startstate.lay_project(folder, place.start)
        if not place.quiet:
            _log_all(folder / "alembic.ini")
    else:
        folder.mkdir(exist_ok=True)


def _log_all(ini: Path) -> None:
    """Make alembic.ini log the two lines about Alembic's context too, as the one that `alembic init` writes does."""
    text = ini.read_text(encoding="utf-8")
    write_whole(
        ini, re.sub(r"# Before each command, .*?(?=^args = )", "class = StreamHandler\n", text, flags=re.M | re.S)
    )
