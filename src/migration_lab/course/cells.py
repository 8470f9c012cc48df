"""The code cells of the course's own notebooks: what comes before a cell, and what comes after it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

from migration_lab.paths import NOTEBOOKS

from .manifest import Lesson


@dataclass(frozen=True)
class Cell:
    """A code cell. ``must_fail``: the lesson runs it to show an error."""

    id: str
    source: str
    must_fail: bool

    @property
    def predicts(self) -> str | None:
        """The id of the prediction that this cell asks for, if it is such a cell."""
        words = self.source.split()
        return words[1] if words[:1] == ["%predict"] and len(words) > 1 else None


@cache
def code_cells(lesson: Lesson) -> tuple[Cell, ...]:
    """The code cells of a lesson's notebook in their order, as the course has them."""
    notebook = json.loads((NOTEBOOKS / lesson.notebook).read_text(encoding="utf-8"))
    return tuple(
        Cell(cell["id"], "".join(cell["source"]), "raises-exception" in cell["metadata"].get("tags", ()))
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    )


def find_cell(lesson: Lesson, cell_id: str | None, source: str) -> Cell | None:
    """The course's cell that ran: the one with this id, which JupyterLab sends, or else the only one with this source."""
    cells = code_cells(lesson)
    found = [cell for cell in cells if cell.id == cell_id] or [cell for cell in cells if cell.source == source]
    return found[0] if len(found) == 1 else None


def answering_cell(lesson: Lesson, prediction: str) -> Cell | None:
    """The cell that shows the outcome of a prediction: the next code cell that does not ask for one itself."""
    cells = code_cells(lesson)
    asking = next((at for at, cell in enumerate(cells) if cell.predicts == prediction), len(cells))
    return next((cell for cell in cells[asking:] if not cell.predicts), None)
