"""The answers that passed: kept as files, ranked by what they cost, and lost by no accident."""

from __future__ import annotations

import json

import pytest

from migration_lab.course.manifest import find_exercise
from migration_lab.course.starter import answer_in, lay_answer
from migration_lab.learner import Progress, golf, passes
from migration_lab.learner.grade import Grade, Outcome
from migration_lab.learner.passes import latest_pass
from migration_lab.workspace import Workspace
from migration_xray.costs import ORDER, Costs
from migration_xray.errors import UserError

EXERCISE = find_exercise("first_step")
FILE = "migrations/versions/0004_city.py"
CHEAP = Costs(4.0, 0, 500, (), (), (), 1)
DEAR = Costs(2_500.0, 1_000, 40_000_000, ("public.users",), (), ("public.ix",), 2)


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    monkeypatch.setenv("LAB_WORK", str(tmp_path / "Zoë's <work>"))
    return Workspace()


def passed(workspace: Workspace, text: str, costs: Costs = CHEAP, **more: bytes | None) -> None:
    answer = {FILE: text.encode(), **more}
    Progress(workspace).graded(Grade(EXERCISE, Outcome.PASSED, "…", answer=answer, costs=costs))


# Kept


def test_each_answer_that_passes_is_kept_once(workspace):
    """Who improves an answer overwrites the one before; the better of the two may be the earlier one."""
    passed(workspace, "one", DEAR)
    passed(workspace, "two")
    passed(workspace, "one", CHEAP)
    one, two = passes(EXERCISE, workspace)
    assert (workspace.path / "passes/first_step/1" / FILE).read_text() == "one"
    assert (two.number, two.answer) == (2, {FILE: b"two"})
    assert one.costs == CHEAP, "checked again on a quieter machine, it kept the costs of before"
    assert latest_pass(EXERCISE, workspace).answer in (one.answer, two.answer)


def test_an_answer_that_does_not_pass_is_not_kept(workspace):
    lay_answer(EXERCISE, {FILE: b"x"}, workspace.project(EXERCISE.place))
    Progress(workspace).graded(Grade(EXERCISE, Outcome.NOT_YET, "…"))
    assert passes(EXERCISE, workspace) == []


def test_a_file_that_the_answer_removed_stays_removed(workspace, tmp_path):
    """The folder has the form of `lab check --answer`, where delete.txt names the files that go."""
    passed(workspace, "one", **{"alembic.ini": None})
    [one] = passes(EXERCISE, workspace)
    assert (one.folder / "delete.txt").read_text() == "alembic.ini\n"
    lay_answer(EXERCISE, one.answer, tmp_path / "project")
    assert not (tmp_path / "project" / "alembic.ini").exists()
    assert answer_in(EXERCISE, tmp_path / "project") == one.answer


def test_a_learner_who_passed_goes_on_being_recorded(workspace):
    """With the pass the count of tries ends; that it is kept must not."""
    passed(workspace, "one")
    first = Progress(workspace).entry(EXERCISE)["passed"]
    passed(workspace, "two")
    assert (Progress(workspace).entry(EXERCISE)["passed"], len(passes(EXERCISE, workspace))) == (first, 2)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"first_step/1": 7, "first_step/2": {"files": "x"}}'])
def test_a_broken_note_loses_no_answer(workspace, text):
    """A full disk or an editor may leave anything in the lab's file; the answers are what took an hour."""
    passed(workspace, "one")
    passed(workspace, "two", DEAR)
    (workspace.state / "passes.json").write_text(text)
    found = golf(EXERCISE, workspace)
    assert [one.answer[FILE] for one in found.unknown] == [b"one", b"two"]
    assert "passes/first_step/2: the lab does not know what it costs" in str(found)
    passed(workspace, "two", DEAR)
    assert [one.number for _, one, _ in golf(EXERCISE, workspace).ranked] == [2]


def test_costs_are_not_those_of_files_that_were_changed_since(workspace):
    passed(workspace, "one")
    (workspace.path / "passes/first_step/1" / FILE).write_text("another")
    assert golf(EXERCISE, workspace).ranked == []


def test_a_broken_progress_file_loses_no_answer(workspace):
    passed(workspace, "one")
    (workspace.path / "progress.json").write_text("{")
    assert len(golf(EXERCISE, workspace).ranked) == 1


def test_a_pass_that_could_not_be_measured_is_kept(workspace):
    """The server may go away between the last check and the measurement."""
    passed(workspace, "one", None)
    [one] = passes(EXERCISE, workspace)
    assert (one.answer, one.costs) == ({FILE: b"one"}, None)
    assert "Check it again to measure it" in str(golf(EXERCISE, workspace))


# Ranked


def test_golf_has_the_best_first_and_says_by_what(workspace):
    passed(workspace, "dear", DEAR)
    passed(workspace, "cheap")
    lines = str(golf(EXERCISE, workspace)).splitlines()
    assert lines[0] == "2 different answers of yours have passed first_step."
    assert [line.split(",")[0] for line in lines if line[0].isdigit()][1:] == [
        "1. passes/first_step/2",
        "2. passes/first_step/1",
    ]
    assert "     ACCESS EXCLUSIVE held: about 2.5 s" in lines
    assert "     rewritten or built: built ix" in lines
    assert lines[-2] == ORDER
    assert "copy its files into projects/exercise_first_step" in lines[-1]


def test_answers_that_differ_by_noise_share_a_rank(workspace):
    passed(workspace, "one", Costs(12.0, 0, 700, (), (), (), 1))
    passed(workspace, "two", Costs(95.0, 0, 90_000, (), (), (), 1))
    passed(workspace, "three", DEAR)
    found = golf(EXERCISE, workspace)
    assert [rank for rank, _, _ in found.ranked] == [1, 1, 3]
    assert "Answers of the same rank are equally good." in str(found)


def test_the_page_of_golf_is_a_table_that_a_screen_reader_can_walk(workspace):
    passed(workspace, "dear", DEAR)
    page = golf(EXERCISE, workspace)._repr_mimebundle_()["text/html"]
    assert page.count('<th scope="col"') == 2 and page.count('<th scope="row"') == 8
    assert "<caption" in page
    assert "<work>" not in page, "the learner's folder has signs of HTML in its name"


def test_one_pass_says_what_would_be_better(workspace):
    passed(workspace, "dear", DEAR)
    assert (
        "A better score has a step less of ACCESS EXCLUSIVE, or else fewer than 1,000 rows written, or else a step less of "
        "WAL, or else no scan, or else no rewrite and no build, or else fewer revisions. Not every exercise allows one."
    ) in str(golf(EXERCISE, workspace))


def test_the_best_score_of_all_is_told(workspace):
    passed(workspace, "one", Costs(0.0, 0, 0, (), (), (), 1))
    assert "No score is better than this one." in str(golf(EXERCISE, workspace))


def test_golf_before_a_pass_says_what_is_missing(workspace):
    with pytest.raises(UserError, match="No answer of yours has passed first_step yet"):
        golf(EXERCISE, workspace)


def test_golf_of_a_pass_from_an_older_lab_says_to_check_again(workspace):
    (workspace.path / "progress.json").write_text(
        json.dumps({"exercises": {"first_step": {"passed": "2026-03-02T12:00:00+00:00"}}})
    )
    with pytest.raises(UserError, match="Check your answer again"):
        golf(EXERCISE, workspace)
