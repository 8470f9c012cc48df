"""An answer that passed beside the solution: the right answer, measured as the solution is, and no leak before the pass."""

from __future__ import annotations

import shutil
import threading

import pytest

from migration_lab import grading
from migration_lab.course.manifest import find_exercise
from migration_lab.course.starter import lay_answer, solution_of
from migration_lab.grading import Outcome, compare
from migration_lab.learner import Progress, golf, passes
from migration_xray.costs import MEASURES

EXERCISE = find_exercise("first_step")
FILE = "migrations/versions/0004_city.py"
SOLUTION = (EXERCISE.folder / "solution" / FILE).read_text(encoding="utf-8")
# It passes, and writes each user twice on its way.
WASTEFUL = SOLUTION.replace(
    "\n\n\ndef downgrade",
    """
    op.execute("UPDATE users SET city = 'x'")
    op.execute("UPDATE users SET city = NULL")


def downgrade""",
)


@pytest.fixture
def check(workspace):
    """``check(text)`` grades an answer and records it, as `%check` does."""

    def grade(text: str) -> grading.Grade:
        lay_answer(EXERCISE, {FILE: text.encode()}, workspace.project(EXERCISE.place))
        found = grading.check(EXERCISE, workspace)
        assert found.at_fault, f"the lab or the server is why it could not run: {found.message}"
        Progress(workspace).graded(found)
        return found

    (workspace.path / "projects").mkdir()
    return grade


def figures(found) -> dict[str, list[str]]:
    return dict(zip(MEASURES, ([*row[1:]] for row in found._rows()), strict=True))


def test_a_pass_is_kept_with_what_that_very_grading_saw(check, workspace):
    grade = check(WASTEFUL)
    assert grade.outcome is Outcome.PASSED, grade
    assert grade.costs.rows == 2_026
    [kept] = passes(EXERCISE, workspace)
    assert kept.answer == {FILE: WASTEFUL.encode()}
    assert kept.costs == grade.costs


def test_nothing_is_kept_or_compared_before_a_pass(check, workspace):
    assert check(SOLUTION.replace('"city"', '"town"')).outcome is Outcome.NOT_YET
    assert compare(EXERCISE, workspace) is None
    assert passes(EXERCISE, workspace) == []


def test_the_answer_stands_beside_the_solution_with_what_each_costs(check, workspace):
    check(WASTEFUL)
    steps = []
    found = compare(EXERCISE, workspace, steps.append)
    assert steps == ["your answer: alembic upgrade head", "the solution: alembic upgrade head"]
    assert found.opening == "Your answer that passed (passes/first_step/1), beside the solution."
    assert [line for line in found.differences[0].lines if line[0] in "+-"] == [
        """-     op.execute("UPDATE users SET city = 'x'")""",
        """-     op.execute("UPDATE users SET city = NULL")""",
    ]
    told = figures(found)
    assert told["rows written"] == ["2,026", "none", "more"]
    assert told["revisions"] == ["1", "1", "the same"]
    text = str(found)
    assert text.index("Lines with - are in your answer only") < text.index("What each costs the server")
    page = found._repr_mimebundle_()["text/html"]
    assert '<th scope="row"' in page and "&#x27;x&#x27;" in page


def test_the_solution_itself_is_measured_once(check, workspace):
    """Two columns that differ by noise alone would be read as a result."""
    check(SOLUTION)
    steps = []
    found = compare(EXERCISE, workspace, steps.append)
    assert len(steps) == 1 and found.differences == []
    assert "Your answer is the same as the solution." in str(found)
    assert figures(found)["rows written"] == ["none"]


def test_who_plays_on_sees_the_answer_that_passed(check, workspace):
    """After the pass the project may hold anything: a broken try, or the starter again."""
    check(WASTEFUL)
    check("nonsense")
    found = compare(EXERCISE, workspace)
    assert found.opening.startswith("Your answer that passed (passes/first_step/1)")
    shutil.rmtree(workspace.project(EXERCISE.place))
    assert compare(EXERCISE, workspace).opening == found.opening


def test_the_answer_in_the_project_is_meant_where_it_has_passed(check, workspace):
    check(WASTEFUL)
    check(SOLUTION)
    assert "(passes/first_step/2)" in compare(EXERCISE, workspace).opening
    lay_answer(EXERCISE, {FILE: WASTEFUL.encode()}, workspace.project(EXERCISE.place))
    assert "(passes/first_step/1)" in compare(EXERCISE, workspace).opening


def test_a_pass_from_an_older_lab_is_compared_by_the_files_that_are_there(check, workspace):
    check(WASTEFUL)
    shutil.rmtree(workspace.path / "passes")
    assert compare(EXERCISE, workspace).opening == (
        "Your answer as it is now in projects/exercise_first_step, beside the solution."
    )
    shutil.rmtree(workspace.path / "projects")
    assert compare(EXERCISE, workspace) is None


def test_an_answer_that_no_longer_runs_is_shown_and_not_measured(check, workspace):
    check(WASTEFUL)
    shutil.rmtree(workspace.path / "passes")
    lay_answer(EXERCISE, {FILE: b"1 / 0"}, workspace.project(EXERCISE.place))
    found = compare(EXERCISE, workspace)
    assert found.differences and list(found.columns) == ["the solution"]
    assert "The costs of your answer could not be measured: ZeroDivisionError: division by zero" in str(found)


def test_a_server_that_is_gone_leaves_the_diff(check, workspace, monkeypatch):
    check(WASTEFUL)
    monkeypatch.setenv("LAB_POSTGRES", "postgresql://nobody@127.0.0.1:1/postgres")
    found = compare(EXERCISE, workspace)
    assert found.differences and not found.columns
    assert str(found).count("could not be measured: ") == 2


def test_the_scratch_databases_are_gone_afterwards(check, workspace, running):
    check(WASTEFUL)
    compare(EXERCISE, workspace)
    for thread in threading.enumerate():
        if thread.name.startswith("drop "):
            thread.join()
    with running.connect() as session:
        left = session.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s)", [f"check_{workspace.tag}"]
        )
        assert left.fetchall() == []


def test_two_answers_are_ranked_by_what_their_gradings_saw(check, workspace):
    check(WASTEFUL)
    check(SOLUTION)
    assert [one.number for _, one, _ in golf(EXERCISE, workspace).ranked] == [2, 1]


@pytest.mark.parametrize("name", ["index_online", "not_null_no_scan", "batched_backfill", "prune_indexes"])
def test_solutions_cost_what_their_explanations_say(workspace, name):
    """The explanation names the lock, the scan or the rows that the form saves; the measured figures must say so too."""
    exercise = find_exercise(name)
    (workspace.path / "projects").mkdir()
    lay_answer(exercise, solution_of(exercise), workspace.project(exercise.place))
    grade = grading.check(exercise, workspace)
    assert grade.outcome is Outcome.PASSED, grade
    found = grade.costs
    if name == "index_online":
        assert (found.exclusive_ms, found.built) == (0, ("public.ix_orders_created_at",))
    elif name == "prune_indexes":
        assert found.exclusive_ms > 0, "DROP INDEX locks the table that 0005_indexes has made"
        assert (found.rows, found.built) == (0, ()), "what 0005_indexes does is no cost of the answer"
    elif name == "not_null_no_scan":
        assert found.scanned == ("public.users",) and found.exclusive_ms < 500 and found.rows == 0
    else:
        assert found.rows > 700 and found.exclusive_ms == 0
