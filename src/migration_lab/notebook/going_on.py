"""After a restart: the first cell of a fresh kernel opens the notebook's lesson where the learner left it."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from IPython.core.interactiveshell import ExecutionInfo, InteractiveShell

from migration_lab.course import Lesson, code_cells, find_cell, find_lesson, lessons
from migration_lab.errors import in_words
from migration_lab.learner import Opened, Progress
from migration_xray.errors import UserError

from .names import help_with_names
from .own_notebook import lesson_notebook

if TYPE_CHECKING:
    from .magics import LabMagics

OPENS_A_PLACE = re.compile(r"^\s*%(lesson|exercise)\b", re.M)


def go_on(magics: LabMagics, info: ExecutionInfo) -> None:
    """Before a cell: open the lesson of this notebook, unless the cell itself opens a lesson or an exercise.

    Each cell tries again while the lesson can't be opened. The reason is printed once.
    """
    lesson = own_lesson(magics.shell)
    if lesson is None or _opens_a_place(lesson, info):
        return
    try:
        with in_words():
            opened = magics.enter(lesson)
            Progress(opened.workspace).opened(lesson)
    except UserError as error:
        said = f"Lesson {lesson.number} could not be opened. {error}"
        if said != magics.not_opened:
            print(said, file=sys.stderr, flush=True)  # before what the cell prints
        magics.not_opened = said
    except KeyboardInterrupt:
        print(f"Interrupted before lesson {lesson.number} was open.", file=sys.stderr, flush=True)
    else:
        magics.not_opened = ""
        print("\n".join(filter(None, [_where(lesson, opened), magics.measured.line])))


def look_back(magics: LabMagics, info: ExecutionInfo, error: BaseException | None) -> None:
    """After a cell: help with names that are not there any more, and compare a prediction with the outcome."""
    place = magics.opened.place if magics.opened else None
    number = place.number if isinstance(place, Lesson) else place.lesson if place else None
    try:
        with in_words():
            lesson = own_lesson(magics.shell) or (lessons()[number] if number else None)
            if lesson:
                help_with_names(magics.shell, lesson, info, error)
                magics.guesses.compare(lesson, info, error)
            if magics.opened and magics.sessions:
                magics.measured.keep(magics.opened, info, magics.sessions.unfinished)
    except UserError as refused:
        print(refused, file=sys.stderr)


def own_lesson(shell: InteractiveShell) -> Lesson | None:
    """The lesson of the notebook that this kernel runs."""
    name = lesson_notebook(shell)
    return find_lesson(name) if name else None


def nothing_open(shell: InteractiveShell) -> str:
    """What a verb says that needs a lesson while none is open."""
    lesson = own_lesson(shell)
    if lesson:
        return (
            f"Lesson {lesson.number} is not open, because it could not be opened before this cell. The reason is printed "
            "below the first cell that tried. When that is repaired, run this cell again."
        )
    return f"No lesson is open in this notebook. `%lesson NUMBER` opens one, for example `%lesson {min(lessons())}`."


def _opens_a_place(lesson: Lesson, info: ExecutionInfo) -> bool:
    """Whether a cell opens a lesson or an exercise itself. A cell that resets in the middle of a lesson goes on with it first:
    it may need the files, and what was measured until then.
    """
    source = info.raw_cell or ""
    opens = not source.startswith("%%") and bool(OPENS_A_PLACE.search(source))
    return opens and not is_in_the_middle(lesson, info)


def is_in_the_middle(lesson: Lesson, info: ExecutionInfo) -> bool:
    """Whether a cell is one of the lesson's own, and not its first one."""
    return find_cell(lesson, info.cell_id, info.raw_cell or "") in code_cells(lesson)[1:]


def _where(lesson: Lesson, opened: Opened) -> str:
    at = f"revision {opened.revision}" if opened.revision else "no revision yet"
    if opened.is_new:
        line = f"Lesson {lesson.number} has no database in this folder yet, so it begins at its start: {at}."
    else:
        line = f"Lesson {lesson.number} goes on where you left it: {at}."
    return "\n".join(filter(None, [line, opened.saved_line]))
