"""People run a lesson again without restarting, and when they have solved everything: nbval's kernel does so too.

After each cell of this run, the tests look at the table that the course is about: at the end they know what a lesson
has taught of the template.
"""

from __future__ import annotations

from contextlib import suppress

import psycopg
import pytest
from nbformat import NotebookNode
from nbval.plugin import IPyNbCell, IPyNbFile
from tests.course import template

from migration_lab.course.manifest import Exercise, Lesson, find_exercise, find_lesson
from migration_lab.learner.lesson import database_name
from migration_lab.pictures import Schema, Table, diff, snapshot
from migration_lab.server import server
from migration_lab.workspace import Workspace

LAST = "HOW TO USE: test migration"  # the template's part whose lesson has all of it


def is_answer(cell: NotebookNode) -> bool:
    return "answer" in cell.metadata.get("tags", ())


def named_file(cell: NotebookNode) -> tuple[Exercise, str]:
    """The exercise and the path of an answer cell's first line."""
    _, exercise, path = cell.source.split("\n")[0].split()
    return find_exercise(exercise), path


def solved(cell: NotebookNode) -> NotebookNode:
    """The cell with the solution in it, where it is an answer's."""
    if not is_answer(cell):
        return cell
    exercise, path = named_file(cell)
    solution = (exercise.folder / "solution" / path).read_text(encoding="utf-8")
    return NotebookNode(cell, source=f"{cell.source.splitlines()[0]}\n{solution}")


class LessonFile(IPyNbFile):
    """A notebook whose cells run as they are stored, and then once more with the solutions in them."""

    verdicts_come_later = False

    def __init__(self, **named):
        super().__init__(**named)
        self.states: list[Table] = []
        self.afterwards: list[pytest.Item] = []

    @property
    def lesson(self) -> Lesson:
        return find_lesson(self.path.name)

    def _afterwards(self) -> list[pytest.Item]:
        """The tests of what the second run has left."""
        lesson, tests = self.lesson, []
        if template.promised(lesson):
            tests.append(Taught.from_parent(self, name="creates what the manifest says of the template"))
        if LAST in lesson.template:
            tests.append(Arrived.from_parent(self, name="arrives at the template's table"))
        return tests

    def collect(self):
        cells = list(super().collect())
        yield from cells
        for cell in cells:
            again = CellAgain.from_parent(
                self, name=f"{cell.name} again", cell_num=cell.cell_num, cell=solved(cell.cell), options=cell.options
            )
            again.add_marker("again")
            yield again
        self.afterwards = self._afterwards()
        yield from self.afterwards

    def look(self) -> None:
        """Keep what ``example_items`` is now; a cell may have left it locked, and the next one is soon there."""
        running, workspace = server(), Workspace()
        with running.connect(database_name(self.lesson.place, running, workspace)) as session:
            session.execute("SET lock_timeout = '1s'")
            with suppress(psycopg.errors.LockNotAvailable):
                if table := snapshot(session).tables.get("example_items"):
                    self.states.append(table)

    def get_kernel_message(self, timeout=None, stream="iopub"):
        """What nbval passes over, a display that is updated, is how %check tells its verdict."""
        message = super().get_kernel_message(timeout, stream)
        if self.verdicts_come_later and message["msg_type"] == "update_display_data":
            message["msg_type"] = "display_data"
        return message


class CellAgain(IPyNbCell):
    """A cell of the second run: it must not fail where it did not, and a check must pass now."""

    def runtest(self):
        self.parent.verdicts_come_later = True
        super().runtest()
        if self.parent.afterwards:
            self.parent.look()

    def compare_outputs(self, test, ref, skip_compare=None):
        if not self.cell.source.startswith("%check"):
            return True
        self.comparison_traceback = [output.data["text/plain"] for output in test if "data" in output][-1:]
        return "".join(self.comparison_traceback).startswith("✔ Passed")


class OfItsCells(pytest.Item):
    """A test of what the cells of a lesson's second run have left."""

    def setup(self):
        if not self.parent.states:
            pytest.skip("the lesson's second run was not asked for")

    def repr_failure(self, excinfo):
        return str(excinfo.value)

    def reportinfo(self):
        return self.path, None, f"{self.path.name}: {self.name}"


class Taught(OfItsCells):
    """A section of the template that a lesson names and never runs has not been taught."""

    def runtest(self):
        made = {name for state in self.parent.states for name in template.names(state)}
        missing = template.promised(self.parent.lesson) - made
        assert not missing, f"lessons.toml says that this lesson creates {sorted(missing)}, and no cell does"


class Arrived(OfItsCells):
    """What the lessons build piece by piece is the template's table in the end, to the last comment."""

    def runtest(self):
        wanted = template.built(server())
        whole = [state for state in self.parent.states if list(state.columns) == list(wanted.columns)]
        assert whole, "no cell leaves a table with the template's columns in the template's order"
        differences = [diff(Schema(tables={"": wanted}), Schema(tables={"": state})) for state in whole]
        assert [] in differences, differences[-1]
