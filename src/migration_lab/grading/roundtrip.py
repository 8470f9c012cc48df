"""The way back: down must lead to the start, and up again to the same goal."""

from __future__ import annotations

import ast
from pathlib import Path

from migration_lab.course import Exercise
from migration_lab.pictures import Schema, diff, snapshot
from migration_xray.errors import AlembicError

from .graded import Graded, NotYet


def round_trip(graded: Graded, given: str | None) -> None:
    """Down must lead back to the start, and up again to the same goal. Raises NotYet where it does not.

    The journey stops at the revision that came with the exercise: further down, its tables go, and take along what the
    learner's downgrade() has left.
    """
    failed = "the upgrade is right, but `alembic downgrade` failed."
    if given:
        _downgrade(graded, given, failed)
        stop = snapshot(graded.session)
        failed = f"downgrade() ran, and does not lead back to {given}: the way further down is closed now."
    _downgrade(graded, graded.start_revision or "base", failed)
    _must_lead_back(graded.start, snapshot(graded.session), "the start")
    try:
        if given:
            graded.alembic("upgrade", given)
            _must_lead_back(snapshot(graded.session), stop, given)
        graded.alembic("upgrade", "head")
    except AlembicError as error:
        raise NotYet(f"up and down work once, but the second upgrade failed.\n{quoted(error)}") from None
    if left := diff(graded.schema, snapshot(graded.session)):
        raise NotYet(f"the second upgrade leads elsewhere than the first:{listed(left)}")


def _downgrade(graded: Graded, revision: str, failed: str) -> None:
    try:
        graded.alembic("downgrade", revision)
    except AlembicError as error:
        raise NotYet(f"{failed}\n{quoted(error)}\n  Without a way back, a bad release can't be rolled back.") from None


def _must_lead_back(wanted: Schema, found: Schema, place: str) -> None:
    if left := diff(wanted, found):
        raise NotYet(
            f"the upgrade is right, but the downgrade does not lead back to {place}:"
            f"{listed(left)}\n  downgrade() takes back all that upgrade() did, and no more."
        )


def given_revision(exercise: Exercise) -> str | None:
    """The last revision that came with the exercise and is no part of the answer; None where there is none, or two."""
    last = given_heads(exercise)
    return last[0] if len(last) == 1 else None


def given_heads(exercise: Exercise) -> list[str]:
    """The revisions that came with the exercise, are no part of the answer, and are followed by none of those."""
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


def quoted(error: AlembicError) -> str:
    return "\n".join(f"  {line}" for line in str(error).splitlines())


def listed(changes: list) -> str:
    return "".join(f"\n  - {change}" for change in changes)
