"""What the grader finds in every exercise, and when a learner hears of it: after what the exercise itself has to say."""

from __future__ import annotations

import pytest

from migration_lab.course import find_exercise
from migration_lab.grading import batch
from migration_lab.learner import Grade
from migration_lab.learner.grade import Outcome
from migration_lab.server import Server

SOLUTIONS = {
    "first_step": "migrations/versions/0004_city.py",
    "second_revision": "migrations/versions/0002_item_note.py",
    "fk_online": "migrations/versions/0005_product_key.py",
    "enum_value": "migrations/versions/0005_locker.py",
}


@pytest.fixture
def graded(running: Server, tmp_path):
    """``graded("first_step", up="…", down="…")`` grades the solution with one more statement at the end of each."""

    def graded(name: str, up: str = "SELECT 1", down: str = "SELECT 1", instead: tuple[str, str] = ("", "")) -> Grade:
        exercise, file = find_exercise(name), SOLUTIONS[name]
        text = (exercise.folder / "solution" / file).read_text(encoding="utf-8").replace(*instead)
        upgrade, downgrade = text.rstrip().split("\n\n\ndef downgrade")
        folder = tmp_path / name
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(
            f'{upgrade}\n    op.execute("""{up}""")\n\n\ndef downgrade{downgrade}\n    op.execute("""{down}""")\n',
            encoding="utf-8",
        )
        return batch.grade_answer(exercise, [exercise.folder / "solution", folder], lambda: running)

    return graded


def test_rows_that_the_upgrade_loses_are_told(graded):
    grade = graded("first_step", up="DELETE FROM orders WHERE id > 900; UPDATE products SET name = 'x' WHERE id = 3")
    assert grade.outcome is Outcome.NOT_YET, grade
    assert "- products.name has changed in 1 of the 1,009 rows, for instance id 3: " in grade.message
    assert " of the 1,021 rows of orders are gone, for instance id " in grade.message


def test_rows_that_the_downgrade_loses_are_told_of_the_downgrade(graded):
    grade = graded("first_step", down="UPDATE users SET age = '1' WHERE id = 7")
    assert grade.outcome is Outcome.NOT_YET, grade
    assert grade.message.startswith("the upgrade is right, but after the downgrade the rows are not what they were")
    assert "users.age has changed in 1 of the 1,013 rows, for instance id 7" in grade.message


def test_rows_of_the_given_revisions_and_of_people_since_are_rows_that_were_there(graded):
    grade = graded("fk_online", up="DELETE FROM reviews WHERE id NOT IN (SELECT id FROM products)")
    assert "reviews are gone, such as review" in grade.message
    grade = graded("second_revision", up="DELETE FROM items WHERE id = 7")
    assert "rows of items is gone, for instance id 7" in grade.message


def test_what_the_task_asks_for_is_no_loss(graded):
    assert graded("enum_value").outcome is Outcome.PASSED
    grade = graded("enum_value", up="UPDATE orders SET status = 'complete' WHERE id = 20")
    assert grade.outcome is Outcome.PASSED  # it had that status
    assert (
        "orders.status has changed in 1"
        in graded("enum_value", up="UPDATE orders SET status = '' WHERE id = 20").message
    )


def test_what_is_not_in_force_is_told_after_the_upgrade_and_after_the_downgrade(graded):
    off = "ALTER TABLE orders DISABLE TRIGGER ALL"
    grade = graded("first_step", up=off)
    assert "after the upgrade not all that stands in the database is in force:" in grade.message
    assert "- foreign key fk_orders_user_id on orders has triggers of its own that are disabled" in grade.message
    grade = graded("first_step", down=off)
    assert "after the downgrade not all that stands in the database is in force:" in grade.message


def test_the_exercises_own_message_comes_before_the_graders(graded):
    """It is nearer to the task; whoever mends that hears of the rest at the next try."""
    grade = graded("first_step", up="DELETE FROM orders", instead=("length=50", "length=40"))
    assert grade.message.startswith("users.city is character varying(40)"), grade


def test_a_refused_upgrade_comes_first(graded):
    grade = graded("fk_online", up="DELETE FROM reviews; SELECT 1 / 0")
    assert grade.outcome is Outcome.COULD_NOT_RUN and "division by zero" in grade.message
    assert grade.message.startswith("`alembic upgrade head` failed."), (
        "the given revisions are no command of the learner's"
    )


def test_a_revision_that_can_not_be_read_is_told_of_the_upgrade(graded):
    """The given revisions run before it, in a command of their own, which fails for the same reason."""
    grade = graded("fk_online", instead=("def upgrade()", "def upgrade("))
    assert grade.message.startswith("`alembic upgrade head` failed."), grade


def test_a_catalog_that_is_written_by_hand_is_told(graded):
    """It can say of a foreign key that it is proved, of which nobody has looked at one row."""
    grade = graded("first_step", up="UPDATE pg_constraint SET convalidated = true WHERE conname = 'pk_users'")
    assert grade.outcome is Outcome.NOT_YET, grade
    assert "writes to a catalog by hand" in grade.message
