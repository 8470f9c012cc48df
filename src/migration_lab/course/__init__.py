"""The course, the same for everybody: its lessons, exercises and predictions, and what each begins with."""

from .cells import Cell, answering_cell, code_cells, find_cell
from .manifest import (
    Exercise,
    Lesson,
    RowChanges,
    exercises,
    find,
    find_exercise,
    find_lesson,
    lessons,
    read_exercise,
)
from .prediction import Prediction, find_prediction, predictions
from .starter import (
    DELETED,
    Answer,
    answer_in,
    contents,
    given_files,
    given_heads,
    lay_answer,
    lay_start,
    solution_of,
    starting,
    texts,
)
from .tables import aligned, table
from .take_home import write_project

__all__ = [
    "DELETED",
    "Answer",
    "Cell",
    "Exercise",
    "Lesson",
    "Prediction",
    "RowChanges",
    "aligned",
    "answer_in",
    "answering_cell",
    "code_cells",
    "contents",
    "exercises",
    "find",
    "find_cell",
    "find_exercise",
    "find_lesson",
    "find_prediction",
    "given_files",
    "given_heads",
    "lay_answer",
    "lay_start",
    "lessons",
    "predictions",
    "read_exercise",
    "solution_of",
    "starting",
    "table",
    "texts",
    "write_project",
]
