"""The rows that an answer is graded on. The learner has not seen them, so no answer can be made for them alone.

The start state ``unseen`` takes the place of ``small``. Where revisions came with the exercise, they are applied first,
as they came: on a real server they have run long ago. Then the exercise's ``unseen.sql``, if it has one, adds rows to
the tables that those revisions made.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import psycopg

from migration_lab.course import Exercise, given_heads, lay_answer, solution_of
from migration_lab.runner import Stopped
from migration_xray.errors import AlembicError, UserError

from .graded import Graded, NotYet

STARTS = {"small": "unseen"}  # a lesson's start state → the one to grade on
OTHER_ROWS = (
    "The check uses rows of its own: other ids, with gaps between them, and other values than those in your database. "
    "Your migration has to be right for them too."
)


class WrongRows(NotYet):
    """Raised by an exercise's check where rows are not as they should be. The message names one of them by its id.

    It also says that these are not the rows of the learner's database: there, the same row may be as it should be.
    """

    def __str__(self) -> str:
        return f"{super().__str__()}\n  {OTHER_ROWS}"


def start_of(exercise: Exercise) -> str:
    """The start state that an exercise's answers are graded on."""
    return STARTS.get(exercise.start, exercise.start)


def prepare(graded: Graded, exercise: Exercise) -> None:
    """Apply the revisions that came with the exercise, then add the exercise's own rows.

    Two heads are not applied: databases are at the one or at the other, and the exercise's check tries each.

    Raises UserError where that fails: it is no fault of the answer.
    """
    try:
        given = given_heads(exercise)
        if len(given) == 1:
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                project = Path(folder).resolve() / "project"
                lay_answer(exercise, solution_of(exercise), project)
                graded.alembic("upgrade", given[0], project=project)
        rows = exercise.folder / "unseen.sql"
        if rows.exists():
            graded.session.execute(rows.read_text(encoding="utf-8"))
    except (AlembicError, Stopped, psycopg.Error) as error:
        graded.watch.examine(error)
        raise UserError(f"The exercise's own revisions or rows could not be applied: {error}") from None


def whose_rows(graded: Graded, said: str) -> str | None:
    """What to add to a message where a command failed at the values of a row; None where it says so already."""
    return OTHER_ROWS if graded.met_a_row and OTHER_ROWS not in said else None
