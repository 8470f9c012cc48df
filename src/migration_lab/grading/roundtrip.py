"""The way back: down must lead to the start, and up again to the same goal."""

from __future__ import annotations

from migration_lab.course import given_heads
from migration_lab.pictures import snapshot
from migration_xray.errors import AlembicError

from .explanations import below, explanation, listing, quoted
from .graded import Graded, NotYet
from .probes import diff, not_in_force
from .unseen import OTHER_ROWS


def round_trip(graded: Graded) -> None:
    """Down must lead back to the start, and up again to the same goal. Raises NotYet where it does not.

    The journey turns where the answer's own revisions began: further down, the given ones' tables go, and take along what
    the learner's downgrade() has left, and rows that could not come back. All the way down comes last.
    """
    heads, start = given_heads(graded.exercise), graded.start_revision
    first = heads[0] if len(heads) == 1 else start
    _go_down(graded, first, "the upgrade is right, but `alembic downgrade` failed.")
    _must_have_its_rows(graded)
    try:
        graded.alembic("upgrade", "head")
    except AlembicError as error:
        raise NotYet(
            f"up and down work once, but the second upgrade failed.\n{quoted(error)}{below(explanation(error, graded))}"
        ) from None
    if left := diff(graded.schema, snapshot(graded.session)):
        raise NotYet(f"the second upgrade leads elsewhere than the first:{listing(left)}")
    if first != start:
        _go_down(
            graded, start, f"downgrade() ran, and does not lead back to {first}: the way further down is closed now."
        )


def _must_have_its_rows(graded: Graded) -> None:
    """The rows are what they were, and what stands is in force, where the answer's own revisions began or at the start."""
    if lost := graded.lost_on_the_way_back():
        raise NotYet(
            "the upgrade is right, but after the downgrade the rows are not what they were before:"
            f"{listing(lost)}\n  Old code is at work again then, with these rows. {OTHER_ROWS}"
        )
    if off := not_in_force(graded.session, graded.stood, graded.exercise.not_in_force):
        raise NotYet(f"after the downgrade not all that stands in the database is in force:{listing(off)}")


def _go_down(graded: Graded, revision: str | None, failed: str) -> None:
    """Go down to a revision, None for base. What ``failed`` says is told where the command fails."""
    try:
        graded.alembic("downgrade", revision or "base")
    except AlembicError as error:
        why = below(explanation(error, graded))
        raise NotYet(
            f"{failed}\n{quoted(error)}{why}\n  Without a way back, a bad release can't be rolled back."
        ) from None
    if left := graded.not_back_at(revision):
        place = "the start" if revision == graded.start_revision else revision
        raise NotYet(
            f"the upgrade is right, but the downgrade does not lead back to {place}:"
            f"{listing(left)}\n  downgrade() takes back all that upgrade() did, and no more."
        )
