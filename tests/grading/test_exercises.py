"""Every exercise by the answers that stand in its folder, graded on the real server as a learner's are.

An exercise that passes unsolved teaches nothing; a solution that fails, or a wrong answer that gets another's message,
sends people looking for a mistake that they did not make.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from migration_lab.author.examination import recognised, written
from migration_lab.author.mutants import Mutant, mutants
from migration_lab.author.survivors import judged, sample
from migration_lab.course.manifest import Exercise, exercises, lessons
from migration_lab.grading import batch
from migration_lab.learner import Grade
from migration_lab.learner.grade import Outcome
from migration_lab.paths import NOTEBOOKS
from migration_lab.server import Server
from migration_xray.errors import UserError

RIGHT = [(exercise, name) for exercise in exercises().values() for name in exercise.right]
WRONG = [(exercise, name) for exercise in exercises().values() for name in exercise.wrong]
by_exercise = pytest.mark.parametrize("exercise", exercises().values(), ids=lambda exercise: exercise.id)


def by_name(answers: list[tuple[Exercise, str]]) -> pytest.MarkDecorator:
    names = [f"{exercise.id}-{name}" for exercise, name in answers]
    return pytest.mark.parametrize(("exercise", "name"), answers, ids=names)


def answer(exercise: Exercise, folders: list[Path], running: Server) -> Grade:
    """Grade the files of these folders laid over the starter, as `lab check --answer` does."""
    return batch.grade_answer(exercise, folders, lambda: running)


@by_exercise
def test_the_starter_is_not_an_attempt(exercise, running):
    grade = answer(exercise, [exercise.folder / "starter"], running)
    assert grade.outcome is Outcome.NOT_ATTEMPTED, grade


@by_exercise
def test_the_solution_passes(exercise, running):
    grade = answer(exercise, [exercise.folder / "solution"], running)
    assert grade.outcome is Outcome.PASSED, grade


@by_name(RIGHT)
def test_a_right_answer_of_another_form_passes(exercise, name, running):
    """A check that wants the solution's own form teaches learners to guess what its author wrote."""
    grade = answer(exercise, exercise.layers(exercise.right[name]), running)
    assert grade.outcome is Outcome.PASSED, grade


@by_name(WRONG)
def test_a_wrong_answer_gets_its_own_message_and_no_other(exercise, name, running):
    grade = answer(exercise, exercise.layers(exercise.wrong[name]), running)
    assert grade.outcome in (Outcome.NOT_YET, Outcome.COULD_NOT_RUN), grade
    assert grade.at_fault, grade
    assert recognised(exercise, grade.message) == [name], grade


@by_exercise
def test_a_mutant_of_the_solution_is_refused(exercise, running):
    """One small mistake in the solution, another in each exercise. `-m mutants` tries all of them."""
    declared = exercise.told.get("equivalent", {})
    chosen = sample([mutant for mutant in mutants(exercise) if mutant.name not in declared], 1)
    assert to_do(exercise, chosen, running) == []


@pytest.mark.mutants
@by_exercise
def test_every_mutant_of_the_solution_is_refused_or_declared(exercise, running):
    """What no mutant can fail is not being checked: a learner's answer with this mistake would pass."""
    assert to_do(exercise, mutants(exercise), running) == []


def to_do(exercise: Exercise, chosen: list[Mutant], running: Server) -> list[str]:
    declared = exercise.told.get("equivalent", {})
    found = judged(exercise, chosen, lambda: running, lambda one: None)
    return [sentence for one in found if (sentence := one.to_do(declared))]


@by_exercise
def test_an_equivalent_mutant_is_one_that_is_made(exercise):
    """A declaration of one that is not made hides nothing today, and may hide a hole when its name comes back."""
    assert set(exercise.told.get("equivalent", {})) <= {mutant.name for mutant in mutants(exercise)}


@by_exercise
def test_an_exercise_is_whole(exercise):
    """What `lab author check` finds by reading: hints that ask, an explanation, right answers and wrong ones by name."""
    assert [str(finding) for finding in written(exercise.id) if not finding.fine] == []


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
