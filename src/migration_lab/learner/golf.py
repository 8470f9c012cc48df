"""A learner's own passes of an exercise, ranked by what they cost the server."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

from migration_lab.course import Exercise, table
from migration_lab.workspace import Workspace
from migration_xray.costs import MEASURES, ORDER, Costs
from migration_xray.errors import UserError

from .passes import Pass, passes
from .progress import Progress

EQUAL = "Answers of the same rank are equally good."
UNKNOWN = "the lab does not know what it costs, or no longer. Check it again to measure it"


@dataclass(frozen=True)
class Golf:
    """The passes of an exercise with their ranks, from 1, the best first; and those whose costs are not known."""

    exercise: Exercise
    workspace: Workspace
    ranked: list[tuple[int, Pass, Costs]]
    unknown: list[Pass]

    def __str__(self) -> str:
        lines = [self._title()]
        for rank, one, costs in self.ranked:
            lines.append(f"{rank}. {self._where(one)}, passed on {day(one.at)}")
            figures = zip(MEASURES, costs.figures(), strict=True)
            lines += [f"     {measure}: {figure}" for measure, figure in figures]
        return "\n".join(lines + [f"-  {words}" for words in self._unknown()] + self._notes())

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        names = ["files", "passed", *MEASURES]
        columns = [[self._where(one), day(one.at), *costs.figures()] for _, one, costs in self.ranked]
        rows = [list(row) for row in zip(names, *columns, strict=True)]
        parts = [table(self._title(), ["rank", *(str(rank) for rank, _, _ in self.ranked)], rows)] if columns else []
        parts += [f"<p>{escape(words)}</p>" for words in [*self._unknown(), *self._notes()]]
        return {"text/plain": str(self), "text/html": "\n".join(parts)}

    def _title(self) -> str:
        count = len(self.ranked) + len(self.unknown)
        answers = "One answer of yours has" if count == 1 else f"{count} different answers of yours have"
        return f"{answers} passed {self.exercise.id}."

    def _unknown(self) -> list[str]:
        return [f"{self._where(one)}: {UNKNOWN}." for one in self.unknown]

    def _notes(self) -> list[str]:
        notes = []
        if len(self.ranked) == 1:
            [(_, _, costs)] = self.ranked
            notes.append(f"{better(costs)} Change your answer and check it again: it is kept beside this one.")
        notes.append(ORDER + (f" {EQUAL}" if len({rank for rank, _, _ in self.ranked}) < len(self.ranked) else ""))
        project = self.workspace.project(self.exercise.place).relative_to(self.workspace.path).as_posix()
        notes.append(
            f"The folders are in {self.workspace.path}. To go back to an answer, copy its files into {project}."
        )
        return notes

    def _where(self, one: Pass) -> str:
        return one.folder.relative_to(self.workspace.path).as_posix()


def golf(exercise: Exercise, workspace: Workspace) -> Golf:
    """Rank the answers of a learner that passed. Raises UserError where there is none."""
    kept = passes(exercise, workspace)
    if not kept:
        raise UserError(_nothing_to_rank(exercise, Progress(workspace).passed(exercise)))
    known = sorted(((one, one.costs) for one in kept if one.costs), key=lambda pair: pair[1].score)
    scores = [costs.score for _, costs in known]
    ranked = [(scores.index(costs.score) + 1, one, costs) for one, costs in known]
    return Golf(exercise, workspace, ranked, [one for one in kept if not one.costs])


def better(costs: Costs) -> str:
    """What a better score than this would be, in words."""
    time, rows, wal, scans, work, revisions = costs.score
    ways = [
        "no ACCESS EXCLUSIVE lock" if time == 1 else "a step less of ACCESS EXCLUSIVE" if time else "",
        f"fewer than {rows:,} rows written" if rows > 1 else "no row written" if rows else "",
        "a step less of WAL" if wal else "",
        "fewer scans" if scans > 1 else "no scan" if scans else "",
        "fewer rewrites and builds" if work > 1 else "no rewrite and no build" if work else "",
        "fewer revisions" if revisions > 1 else "",
    ]
    ways = [way for way in ways if way]
    if not ways:
        return "No score is better than this one."
    return f"A better score has {', or else '.join(ways)}. Not every exercise allows one."


def _nothing_to_rank(exercise: Exercise, passed: bool) -> str:
    if passed:
        return (
            f"No answer to {exercise.id} is kept yet. Check your answer again: once it passes, it is kept and ranked."
        )
    return f"No answer of yours has passed {exercise.id} yet. Once one does, it is kept, and its costs are shown here."


def day(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d} at {at:%H:%M}" if at else ""
