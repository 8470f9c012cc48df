"""People run a lesson again without restarting, and when they have solved everything: nbval's kernel does so too.

After each cell of this run, the tests look at the table that the course is about: at the end they know what a lesson
has taught of the template.
"""

from __future__ import annotations

import re
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


def begins(cell: NotebookNode) -> str:
    return cell.source.splitlines()[0].strip()


class LessonFile(IPyNbFile):
    """A notebook whose cells run as they are stored, and then once more with the solutions in them."""

    verdicts_come_later = False

    def __init__(self, **named):
        super().__init__(**named)
        self.states: list[Table] = []
        self.again: list[CellAgain] = []
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
        self.again = [
            CellAgain.from_parent(
                self, name=f"{cell.name} again", cell_num=cell.cell_num, cell=solved(cell.cell), options=cell.options
            )
            for cell in cells
        ]
        for cell in self.again:
            cell.add_marker("again")
            yield cell
        self.afterwards = self._afterwards()
        yield from self.afterwards

    def is_middle(self, cell: CellAgain) -> bool:
        return cell is self.again[len(self.again) // 2]

    def run(self, source: str) -> str:
        """Run a cell, whatever becomes of it; returns what was printed."""
        asked, printed = self.kernel.execute_cell_input(source, allow_stdin=False), ""
        while True:
            message = self.kernel.get_message("iopub", timeout=120)
            if message["parent_header"].get("msg_id") == asked:
                if message["msg_type"] == "stream":
                    printed += message["content"]["text"]
                if message["content"].get("execution_state") == "idle":
                    return printed

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


FEW = 9  # names that a cell may miss, one after another
# What the lab says where a cell misses a name that an earlier cell sets.
RUN_FIRST = re.compile(r"Run that one first: the cell that begins with `(.+?)`(?:\.$| and has the line)", re.M)


class CellAgain(IPyNbCell):
    """A cell of the second run: it must not fail where it did not, and a check must pass now.

    With --restart, the kernel restarts in the middle of the run. Then a cell may miss a name of an earlier cell, and the
    test does what the lab says: it runs the cell that sets the name, and this one once more.
    """

    def runtest(self):
        self.parent.verdicts_come_later = True
        self.options = self.options.copy()  # which the cell of the first run shares
        self.options["check_exception"] = True  # else nbval hides what is printed after an error
        if self.config.option.restart and self.parent.is_middle(self):
            self.parent.kernel.restart()
            self.parent.kernel.kc.wait_for_ready(timeout=60)
        super().runtest()
        for _ in range(FEW):
            if not self._ran_others_first("".join(each.text for each in self.test_outputs if "text" in each)):
                break
            super().runtest()
        failed = [output for output in self.test_outputs if output.output_type == "error"]
        if failed and "raises-exception" not in self.cell.metadata.get("tags", ()):
            self.raise_cell_error("Cell execution caused an exception", "\n".join(failed[0].traceback))
        if self.parent.afterwards:
            self.parent.look()

    def _ran_others_first(self, printed: str, depth: int = FEW) -> bool:
        """Run each cell that the lab has named in what was printed, and before it those that it needs itself."""
        named = dict.fromkeys(RUN_FIRST.findall(printed))
        assert not named or self.config.option.restart, f"a name is gone without a restart: {printed}"
        earlier = [again.cell for again in self.parent.again[: self.parent.again.index(self)]]
        for first in named:
            cell = next(cell for cell in reversed(earlier) if begins(cell) == first)
            if depth and self._ran_others_first(self.parent.run(cell.source), depth - 1):
                self.parent.run(cell.source)
        return bool(named)

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
