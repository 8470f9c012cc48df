"""A learner's answer that passed, beside the solution: what differs, and what each costs the server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from html import escape
from typing import Any

from migration_lab.course import Answer, Exercise, aligned, answer_in, solution_of, table, texts
from migration_lab.learner import Progress, latest_pass, passes
from migration_lab.runner import Runner
from migration_lab.workspace import Workspace
from migration_xray.costs import MEASURES, Costs
from migration_xray.errors import UserError

from ..grader import silently
from .differences import LEGEND, Difference, differences
from .measurement import measured

CAPTION = "What each costs the server"
SAME = "Your answer is the same as the solution."
MEASURED = (
    "Measured just now, each on a new database. Times and WAL vary from run to run, so they are rounded: a difference "
    "counts only if one is at least twice the other, and 0.2 s or 1 MB more. WAL is what the whole server wrote meanwhile. "
    "Rows that triggers, functions and DO blocks write are counted too."
)


@dataclass(frozen=True)
class Comparison:
    """``opening`` says which answer it is. ``columns`` are what each costs, by its heading; ``unknown`` says why one is not
    known.
    """

    opening: str
    differences: list[Difference]
    columns: dict[str, Costs]
    unknown: list[str]

    def __str__(self) -> str:
        parts = [self.opening, *([LEGEND, *map(str, self.differences)] if self.differences else [SAME])]
        if self.columns:
            parts.append("\n".join([CAPTION, *aligned(self._head(), self._rows())]))
        return "\n\n".join(parts + self._notes())

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        parts = [f"<p>{LEGEND if self.differences else SAME}</p>", *(one.as_html() for one in self.differences)]
        if self.columns:
            parts.append(table(CAPTION, self._head(), self._rows()))
        parts += [f"<p>{escape(words)}</p>" for words in self._notes()]
        return {"text/plain": str(self), "text/html": "\n".join(parts)}

    def _head(self) -> list[str]:
        return ["cost", *self.columns, *(["your answer, compared"] if len(self.columns) == 2 else [])]

    def _rows(self) -> list[list[str]]:
        figures = [costs.figures() for costs in self.columns.values()]
        if len(self.columns) == 2:
            mine, solution = self.columns.values()
            figures.append(mine.differences(solution))
        return [list(row) for row in zip(MEASURES, *figures, strict=True)]

    def _notes(self) -> list[str]:
        return self.unknown + ([MEASURED] if self.columns else [])


def compare(exercise: Exercise, workspace: Workspace, say: Callable[[str], None] = silently) -> Comparison | None:
    """Compare the learner's answer that passed with the solution, and measure both; None where there is none to compare.

    The answer is the one in the exercise's project if that has passed, else the one that passed last. ``say`` is told each
    step before it begins.
    """
    if not Progress(workspace).passed(exercise):
        return None
    project = workspace.project(exercise.place)
    written: Answer = answer_in(exercise, project) if project.exists() else {}
    kept = next((one for one in passes(exercise, workspace) if one.answer == written), None)
    kept = kept or latest_pass(exercise, workspace)
    if kept is None and not written:
        return None
    mine, solution = kept.answer if kept else written, solution_of(exercise)
    place = (kept.folder if kept else project).relative_to(workspace.path).as_posix()
    opening = f"Your answer that passed ({place})" if kept else f"Your answer as it is now in {place}"
    found = differences(texts(exercise, mine), texts(exercise, solution))
    asked = {"your answer": mine, "the solution": solution} if found else {"both": solution}
    columns, unknown = {}, []
    for name, answer in asked.items():
        try:
            columns[name] = measured(exercise, answer, workspace, partial(_told, say, name))
        except UserError as error:
            unknown.append(f"The costs of {name} could not be measured: {error}")
    Runner.warm_up()
    return Comparison(f"{opening}, beside the solution.", found, columns, unknown)


def _told(say: Callable[[str], None], name: str, step: str) -> None:
    say(f"{name}: {step}")
