"""People run a lesson again without restarting, and when they have solved everything: nbval's kernel does so too."""

from __future__ import annotations

from nbformat import NotebookNode
from nbval.plugin import IPyNbCell, IPyNbFile

from migration_lab.course.manifest import Exercise, find_exercise


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

    def collect(self):
        cells = list(super().collect())
        yield from cells
        for cell in cells:
            again = CellAgain.from_parent(
                self, name=f"{cell.name} again", cell_num=cell.cell_num, cell=solved(cell.cell), options=cell.options
            )
            again.add_marker("again")
            yield again

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

    def compare_outputs(self, test, ref, skip_compare=None):
        if not self.cell.source.startswith("%check"):
            return True
        self.comparison_traceback = [output.data["text/plain"] for output in test if "data" in output][-1:]
        return "".join(self.comparison_traceback).startswith("✔ Passed")
