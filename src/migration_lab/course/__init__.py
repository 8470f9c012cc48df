"""The course: its lessons and exercises, what a learner has of them, and what a learner has done."""

from .answers import files_to_edit, solution, write_answer
from .cells import Cell, answering_cell, code_cells, find_cell
from .golf import Golf, golf
from .grade import Grade, Outcome, shown
from .lesson import Opened, go_back, lay_files, lay_start, naming_reset, open_place, revision, versions, versions_seen
from .manifest import Exercise, Lesson, exercises, find, find_exercise, find_lesson, lessons
from .notebooks import refresh_notebooks
from .passes import latest_pass, passes
from .prediction import Prediction, find_prediction, predictions
from .progress import Progress, exercise_at_hand, report, upcoming
from .starter import DELETED, Answer, answer_in, lay_answer, solution_of, starting, texts
from .summary import keep
from .tables import aligned, table
from .take_home import write_project

__all__ = [
    "DELETED",
    "Answer",
    "Cell",
    "Exercise",
    "Golf",
    "Grade",
    "Lesson",
    "Opened",
    "Outcome",
    "Prediction",
    "Progress",
    "aligned",
    "answer_in",
    "answering_cell",
    "code_cells",
    "exercise_at_hand",
    "exercises",
    "files_to_edit",
    "find",
    "find_cell",
    "find_exercise",
    "find_lesson",
    "find_prediction",
    "go_back",
    "golf",
    "keep",
    "latest_pass",
    "lay_answer",
    "lay_files",
    "lay_start",
    "lessons",
    "naming_reset",
    "open_place",
    "passes",
    "predictions",
    "refresh_notebooks",
    "report",
    "revision",
    "shown",
    "solution",
    "solution_of",
    "starting",
    "table",
    "texts",
    "upcoming",
    "versions",
    "versions_seen",
    "write_answer",
    "write_project",
]
