"""What is looked at for every exercise: its rows, its given files, what is in force, and what a migration changes elsewhere."""

from . import cluster
from .given import edited
from .inforce import not_in_force, standing, written_by_hand
from .kept import changes
from .rows import Rows, identifier
from .spelling import diff

__all__ = ["Rows", "changes", "cluster", "diff", "edited", "identifier", "not_in_force", "standing", "written_by_hand"]
