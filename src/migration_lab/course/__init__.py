"""The course: its lessons and exercises, what a learner has of them, and what a learner has done."""

from .answers import solution, write_answer
from .cells import Cell, answering_cell, code_cells, find_cell
from .grade import Grade, Outcome, shown
from .lesson import Opened, go_back, lay_files, lay_start, open_place, revision, versions, versions_seen
from .manifest import Exercise, Lesson, exercises, find, find_exercise, find_lesson, lessons
from .notebooks import refresh_notebooks
from .prediction import Prediction, find_prediction, predictions
from .progress import Progress, exercise_at_hand, report, upcoming
from .summary import keep
from .take_home import write_project

__all__ = [
    "Cell",
    "Exercise",
    "Grade",
    "Lesson",
    "Opened",
    "Outcome",
    "Prediction",
    "Progress",
    "answering_cell",
    "code_cells",
    "exercise_at_hand",
    "exercises",
    "find",
    "find_cell",
    "find_exercise",
    "find_lesson",
    "find_prediction",
    "go_back",
    "keep",
    "lay_files",
    "lay_start",
    "lessons",
    "open_place",
    "predictions",
    "refresh_notebooks",
    "report",
    "revision",
    "shown",
    "solution",
    "upcoming",
    "versions",
    "versions_seen",
    "write_answer",
    "write_project",
]
