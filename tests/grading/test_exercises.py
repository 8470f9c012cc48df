"""Every exercise by the answers that stand in its folder, graded on the real server as a learner's are.

An exercise that passes unsolved teaches nothing; a solution that fails, or a wrong answer that gets another's message,
sends people looking for a mistake that they did not make.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from migration_lab.course.manifest import Exercise, exercises, lessons
from migration_lab.grading import batch
from migration_lab.learner import Grade
from migration_lab.learner.grade import Outcome
from migration_lab.paths import NOTEBOOKS
from migration_lab.server import Server
from migration_xray.errors import UserError

ANSWERS = [(exercise, name) for exercise in exercises().values() for name in exercise.wrong]


def told(exercise: Exercise) -> dict:
    return tomllib.loads((exercise.folder / "exercise.toml").read_text(encoding="utf-8"))


def answer(exercise: Exercise, folders: list[Path], running: Server) -> Grade:
    """Grade the files of these folders laid over the starter, as `lab check --answer` does."""
    return batch.grade_answer(exercise, folders, lambda: running)


@pytest.mark.parametrize("exercise", exercises().values(), ids=lambda exercise: exercise.id)
def test_the_starter_is_not_an_attempt(exercise, running):
    grade = answer(exercise, [exercise.folder / "starter"], running)
    assert grade.outcome is Outcome.NOT_ATTEMPTED, grade


@pytest.mark.parametrize("exercise", exercises().values(), ids=lambda exercise: exercise.id)
def test_the_solution_passes(exercise, running):
    grade = answer(exercise, [exercise.folder / "solution"], running)
    assert grade.outcome is Outcome.PASSED, grade


@pytest.mark.parametrize(("exercise", "name"), ANSWERS, ids=[f"{exercise.id}-{name}" for exercise, name in ANSWERS])
def test_a_wrong_answer_gets_its_own_message_and_no_other(exercise, name, running):
    under = [exercise.folder / "solution"] if told(exercise).get("wrong_over_solution") else []
    grade = answer(exercise, [*under, exercise.wrong[name]], running)
    assert grade.outcome in (Outcome.NOT_YET, Outcome.COULD_NOT_RUN), grade
    assert grade.at_fault, grade
    said = [other for other, fragment in told(exercise)["wrong"].items() if fragment in grade.message]
    assert said == [name], grade


@pytest.mark.parametrize("exercise", exercises().values(), ids=lambda exercise: exercise.id)
def test_an_exercise_is_whole(exercise):
    """A hint asks before it tells, and at least three wrong answers are known by name and by message."""
    assert len(exercise.hints) >= 2, "give at least a hint that asks and one that tells"
    assert "?" in exercise.hints[0], "the first hint asks a question"
    assert set(told(exercise)["wrong"]) == set(exercise.wrong), "[wrong] and the folders of wrong/ differ"
    assert len(exercise.wrong) >= 3


@pytest.mark.parametrize("exercise", exercises().values(), ids=lambda exercise: exercise.id)
def test_an_exercise_explains_why_and_when_not(exercise):
    """A pass says that an answer is right; only an explanation says why, and where another form is better."""
    assert len(exercise.explanation.split()) >= 50, "write `explanation` in its exercise.toml"


def test_every_folder_is_in_the_manifest():
    """A folder that lessons.toml does not name is an exercise that no learner ever meets."""
    folders = {path.name for path in (NOTEBOOKS / "exercises").iterdir() if path.is_dir()}
    assert folders == set(exercises())


def test_an_exercise_that_is_not_there_is_told(monkeypatch, tmp_path):
    """It is the author's next step; every lesson failed with "No such file or directory"."""
    (tmp_path / "lessons.toml").write_text(
        '[[lesson]]\nnumber = "00"\nname = "a"\ntitle = "A"\nminutes = 1\nobjectives = []\nstart = "empty"\nexercises = ["to_come"]\n'
    )
    monkeypatch.setattr("migration_lab.course.manifest.NOTEBOOKS", tmp_path)
    with pytest.raises(
        UserError, match=r"Lesson 00 names the exercise to_come in lessons.toml, and .* Write it, or take"
    ):
        lessons.__wrapped__()
