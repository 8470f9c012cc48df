"""Whether an answer changes a file that was given: on a database that has applied it, such a change never arrives."""

from __future__ import annotations

import pytest

from migration_lab.course import find_exercise, given_files, given_heads
from migration_lab.grading import batch
from migration_lab.grading.probes.given import edited
from migration_lab.learner.grade import Outcome

EXERCISE = find_exercise("unseen_drift")
FILE = "migrations/versions/0004_coupons.py"
GIVEN = (EXERCISE.folder / "starter" / FILE).read_bytes()
RESET = "Put it back: `%exercise unseen_drift --reset` does that, and saves your own files first."


def test_a_change_is_told_with_its_line_and_what_to_do():
    said = edited(EXERCISE, {FILE: GIVEN.replace(b'"percent <= 90"', b'"percent BETWEEN 1 AND 90"')})
    assert said.startswith(f'{FILE} is not as it was given (line 27: `sa.CheckConstraint("percent BETWEEN 1 AND 90"')
    assert f"{RESET} A database that has applied a revision never runs it again." in said
    assert said.endswith("Write what is to change in one of your own.")
    assert "is gone. Put it back" in edited(EXERCISE, {FILE: None})
    assert "the task leaves given files as they are" in edited(EXERCISE, {"models.py": b"Base = None\n"}).lower()


@pytest.mark.parametrize(
    "content",
    [GIVEN.replace(b"\n", b"\r\n"), GIVEN.rstrip(b"\n"), GIVEN + b"\n\n", b"\xef\xbb\xbf" + GIVEN],
    ids=["CRLF", "no newline at the end", "more lines at the end", "a byte order mark"],
)
def test_what_an_editor_does_to_line_ends_is_no_change(content):
    assert edited(EXERCISE, {FILE: content}) is None


def test_what_the_task_leaves_open_is_no_given_file():
    """Who needs one transaction for each revision may say so in an env.py that the exercise did not bring."""
    assert set(given_files(EXERCISE)) == {
        *(f"migrations/versions/{name}.py" for name in ("0001_users", "0002_products", "0003_orders", "0004_coupons")),
        "migrations/env.py",
        "models.py",
    }
    assert "migrations/env.py" not in given_files(find_exercise("first_step"))
    assert "migrations/env.py" not in given_files(find_exercise("mend_env"))
    own = {"migrations/env.py": b"", "migrations/versions/0005_as_modelled.py": b"", "README.md": b"", "new.py": b""}
    assert edited(find_exercise("first_step"), own) is None


def test_an_answers_own_revisions_go_on_from_the_given_ones():
    found = {name: given_heads(find_exercise(name)) for name in ("first_step", "unseen_drift", "two_heads", "mend_env")}
    assert found == {
        "first_step": [],
        "unseen_drift": ["0004_coupons"],
        "two_heads": ["0004_city", "0004_phone"],
        "mend_env": [],  # its answer is an env.py, judged by the revisions that came with it
    }


def test_a_changed_file_is_told_first_and_then_what_was_found(running, tmp_path):
    """The exercise may say more precisely what the change does; but the file is what the learner has to put back."""
    (tmp_path / "migrations" / "versions").mkdir(parents=True)
    (tmp_path / FILE).write_bytes(GIVEN.replace(b"percent <= 90", b"percent BETWEEN 1 AND 90"))
    grade = batch.grade_answer(EXERCISE, [EXERCISE.folder / "starter", tmp_path], lambda: running)
    assert grade.outcome is Outcome.NOT_YET
    given, found = grade.message.split("\n  What was found besides: ")
    assert given.startswith(f"{FILE} is not as it was given") and found.startswith(
        "nothing has changed: coupons still differs"
    )
    (tmp_path / FILE).write_bytes(GIVEN.replace(b"Add coupons", b"Add some coupons"))
    grade = batch.grade_answer(EXERCISE, [EXERCISE.folder / "solution", tmp_path], lambda: running)
    assert grade.outcome is Outcome.NOT_YET and "found besides" not in grade.message, grade
