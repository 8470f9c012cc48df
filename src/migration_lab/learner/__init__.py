"""What one learner has of the course: open lessons, notebooks, answers, passes and progress."""

from .answers import files_to_edit, solution, write_answer
from .golf import Golf, golf
from .grade import Grade, Outcome, shown
from .lesson import Opened, go_back, lay_files, naming_reset, open_place, revision, versions, versions_seen
from .notebooks import refresh_notebooks
from .passes import latest_pass, passes
from .progress import Progress, exercise_at_hand, report, upcoming
from .summary import keep

__all__ = [
    "Golf",
    "Grade",
    "Opened",
    "Outcome",
    "Progress",
    "exercise_at_hand",
    "files_to_edit",
    "go_back",
    "golf",
    "keep",
    "latest_pass",
    "lay_files",
    "naming_reset",
    "open_place",
    "passes",
    "refresh_notebooks",
    "report",
    "revision",
    "shown",
    "solution",
    "upcoming",
    "versions",
    "versions_seen",
    "write_answer",
]
