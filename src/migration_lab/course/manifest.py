"""The course: its lessons and exercises, read from ``notebooks/``."""

from __future__ import annotations

import difflib
import os
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from migration_lab.files import files_in
from migration_lab.paths import NOTEBOOKS
from migration_xray.errors import UserError
from migration_xray.words import listed

# PostgreSQL cuts names at 63 bytes, and the longest one is such as former_exercise_ID_1a2b3c.
# https://www.postgresql.org/docs/18/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS
LONGEST_ID = 40


@dataclass(frozen=True)
class RowChanges:
    """What a task asks for to be done to rows that were there: ``changes`` names columns, "users.age", the others tables."""

    changes: frozenset[str] = frozenset()
    removes: frozenset[str] = frozenset()
    adds: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Exercise:
    """One folder under ``notebooks/exercises/``.

    ``starter``, ``solution`` and each folder of ``right`` and ``wrong`` hold files by their path in an Alembic project.
    ``project`` is the one that they are laid over: "project", which every lesson gets, or "take_home", which `lab template`
    writes.
    ``explanation`` is Markdown and tells the solution: it is shown only where the solution may be seen. ``rows`` is what the
    upgrade may do to rows that were there, ``rows_back`` what may have become of them after the downgrade, and
    ``not_in_force`` names things that the task leaves so.
    """

    id: str
    title: str
    lesson: str
    start: str
    project: str
    hints: tuple[str, ...]
    explanation: str
    round_trip: bool
    rows: RowChanges
    rows_back: RowChanges
    not_in_force: frozenset[str]
    second_try: bool
    folder: Path

    @property
    def place(self) -> str:
        """The name of its database and of its project's folder."""
        return f"exercise_{self.id}"

    @property
    def to_edit(self) -> list[str]:
        """The files that a learner completes, by their path in the project: those of the starter with a TODO."""
        starter = self.folder / "starter"
        files = [file for file in files_in(starter) if "TODO" in file.read_text(encoding="utf-8")]
        return [file.relative_to(starter).as_posix() for file in files]

    @property
    def right(self) -> dict[str, Path]:
        """The named answers that differ in form from the solution, and pass: name → folder."""
        return self._named("right")

    @property
    def wrong(self) -> dict[str, Path]:
        """The named wrong answers: name → folder."""
        return self._named("wrong")

    def _named(self, kind: str) -> dict[str, Path]:
        return {path.name: path for path in sorted((self.folder / kind).glob("*/"))}

    def layers(self, folder: Path) -> list[Path]:
        """What is laid over the starter for one of ``right`` or ``wrong``: its folder, over the solution where that is said."""
        over_solution = self.told.get(f"{folder.parent.name}_over_solution", False)
        return [self.folder / "solution", folder] if over_solution else [folder]

    @property
    def told(self) -> dict[str, Any]:
        """What exercise.toml says, with all that only authors read."""
        return tomllib.loads((self.folder / "exercise.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Lesson:
    """One entry of ``lessons.toml``: what a notebook teaches and where it starts.

    ``formerly`` is an earlier name, which a learner's copy of the notebook may still have.
    """

    number: str
    name: str
    formerly: str | None
    title: str
    minutes: int
    template: tuple[str, ...]
    objectives: tuple[str, ...]
    start: str
    project: bool
    quiet: bool
    exercises: tuple[Exercise, ...]

    @property
    def place(self) -> str:
        """The name of its database and of its project's folder."""
        return f"lesson_{self.number}"

    @property
    def notebook(self) -> str:
        return f"{self.number}_{self.name}.ipynb"


@cache
def lessons() -> dict[str, Lesson]:
    """The lessons in their order, by number ("00", "01", …).

    Raises UserError where ``notebooks/`` is neither in a clone nor in the installed package.
    """
    manifest = NOTEBOOKS / "lessons.toml"
    if not manifest.is_file():
        raise UserError(
            f"The course is not here: {manifest} was not found. "
            "Install the wheel of migration-lab again, or start the lab from a clone with `python3 scripts/lab.py`."
        )
    entries = tomllib.loads(manifest.read_text(encoding="utf-8"))["lesson"]
    return {entry["number"]: _lesson(entry) for entry in entries}


@cache
def exercises() -> dict[str, Exercise]:
    """Every exercise in the order of the course, by its id."""
    return {exercise.id: exercise for lesson in lessons().values() for exercise in lesson.exercises}


def find_lesson(words: str) -> Lesson:
    """The lesson that a person means by ``2``, ``02``, ``columns_and_types`` or ``02_columns_and_types.ipynb``.

    Raises UserError that names the nearest lesson where there is none.
    """
    if lesson := _lesson_named(words):
        return lesson
    raise UserError(_unknown("lesson", _stem(words), _lesson_names(), _lessons_listed()))


def _lesson_named(words: str) -> Lesson | None:
    for lesson in lessons().values():
        names = [name for name in (lesson.name, lesson.formerly) if name]
        numbers = [lesson.number, lesson.number.lstrip("0") or "0"]
        if _stem(words) in (*numbers, *names, *(f"{lesson.number}_{name}" for name in names)):
            return lesson
    return None


def _stem(words: str) -> str:
    return words.strip().removesuffix(".ipynb")


def find_exercise(words: str) -> Exercise:
    """The exercise with this id. Raises UserError that names the nearest one where there is none."""
    wanted = words.strip()
    if wanted in exercises():
        return exercises()[wanted]
    if lesson := _lesson_named(wanted):
        raise UserError(f"{wanted} is a lesson, and an exercise is needed. {_exercises_of(lesson)}")
    raise UserError(_unknown("exercise", wanted, _exercise_names(), _exercises_listed()))


def find(words: str) -> Lesson | Exercise:
    """The lesson or the exercise that a person names. Raises UserError that names the nearest of both."""
    for known in (find_exercise, find_lesson):
        with suppress(UserError):
            return known(words)
    otherwise = f"{_lessons_listed()} {_exercises_listed()}"
    raise UserError(_unknown("lesson or exercise", words.strip(), _lesson_names() | _exercise_names(), otherwise))


def _lesson_names() -> dict[str, str]:
    """What a person may have meant to write → the lesson's number."""
    names = {f"{lesson.number}_{lesson.name}": lesson.number for lesson in lessons().values()}
    return names | {lesson.name: lesson.number for lesson in lessons().values()}


def _exercise_names() -> dict[str, str]:
    return {name: name for name in exercises()}


def _lessons_listed() -> str:
    return f"Lessons go from {min(lessons())} to {max(lessons())}."


def _exercises_listed() -> str:
    """Where the exercises are listed: all of them would be a page."""
    here = _open_lesson()
    return (f"{_exercises_of(here)} " if here else "") + "`%progress` lists the exercises of every lesson."


def _exercises_of(lesson: Lesson) -> str:
    names = [exercise.id for exercise in lesson.exercises]
    return f"Lesson {lesson.number} has {listed(names) if names else 'no exercise'}."


def _open_lesson() -> Lesson | None:
    """The lesson that is open in this terminal or notebook, or whose exercise is."""
    place = os.environ.get("LAB_PLACE")
    for lesson in lessons().values():
        if place in (lesson.place, *(exercise.place for exercise in lesson.exercises)):
            return lesson
    return None


def _unknown(noun: str, wanted: str, names: dict[str, str], otherwise: str) -> str:
    if not wanted:
        return f"Which {noun}? {otherwise}"
    beginnings = {name[: len(wanted)]: meant for name, meant in names.items()}  # people often write no more than that
    near = [beginnings[name] for name in difflib.get_close_matches(wanted, beginnings, n=1, cutoff=0.8)]
    near += [names[name] for name in difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)]
    if not near:
        return f'There is no {noun} "{wanted}". {otherwise}'
    said, here = f'There is no {noun} "{wanted}". The nearest is {near[0]}.', _open_lesson()
    return f"{said} {_exercises_of(here)}" if here and near[0] in exercises() else said


def _lesson(entry: dict) -> Lesson:
    return Lesson(
        number=entry["number"],
        name=entry["name"],
        formerly=entry.get("formerly"),
        title=entry["title"],
        minutes=entry["minutes"],
        template=tuple(entry.get("template", ())),
        objectives=tuple(entry["objectives"]),
        start=entry["start"],
        project=entry.get("project", True),
        quiet=entry.get("quiet", True),
        exercises=tuple(read_exercise(name, entry) for name in entry.get("exercises", ())),
    )


def read_exercise(name: str, lesson: dict[str, Any]) -> Exercise:
    """An exercise of the lesson with this entry in ``lessons.toml``. Raises UserError where its files can't be read."""
    if len(name) > LONGEST_ID:
        raise UserError(f"The name of the exercise {name} has {len(name)} letters. Shorten it to {LONGEST_ID}.")
    folder = NOTEBOOKS / "exercises" / name
    if not (folder / "exercise.toml").is_file():
        raise UserError(
            f"Lesson {lesson['number']} names the exercise {name} in lessons.toml, and exercises/{name}/exercise.toml "
            "is not there. Write it, or take the name out."
        )
    try:
        entry = tomllib.loads((folder / "exercise.toml").read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"exercises/{name}/exercise.toml can't be read: {error}.") from None
    if missing := [key for key in ("title", "hints") if key not in entry]:
        raise UserError(
            f"exercises/{name}/exercise.toml has no {listed(missing)}. Write one, as docs/authoring.md says."
        )
    return Exercise(
        id=name,
        title=entry["title"],
        lesson=lesson["number"],
        start=entry.get("start", lesson["start"]),
        project=entry.get("project", "project"),
        hints=tuple(entry["hints"]),
        explanation=entry.get("explanation", "").strip(),
        round_trip=entry.get("round_trip", True),
        rows=_row_changes(entry.get("rows", {})),
        rows_back=_row_changes(entry.get("rows", {}).get("back", {})),
        not_in_force=frozenset(entry.get("not_in_force", ())),
        second_try=entry.get("second_try", lesson.get("second_try", False)),
        folder=folder,
    )


def _row_changes(entry: dict) -> RowChanges:
    return RowChanges(**{kind: frozenset(names) for kind, names in entry.items() if kind != "back"})
