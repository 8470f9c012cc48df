"""Grading by the state of a real database. An exercise's ``check.py`` finds here all that it may use."""

from migration_lab.learner import Grade, Outcome
from migration_lab.pictures import Table, snapshot
from migration_xray.errors import AlembicError
from migration_xray.trace import Moment, Trace
from migration_xray.traffic import Traffic

from . import batch
from .comparing import Comparison, compare
from .explanations import quoted, several
from .graded import SECONDS, WRITER_STAYS, Graded, NotYet
from .grader import check
from .probes import diff
from .unseen import OTHER_ROWS, WrongRows
from .watcher import check_whenever_saved
from .ways import text_fault, ways_in, ways_past, ways_to_orphan

__all__ = [
    "OTHER_ROWS",
    "SECONDS",
    "WRITER_STAYS",
    "AlembicError",
    "Comparison",
    "Grade",
    "Graded",
    "Moment",
    "NotYet",
    "Outcome",
    "Table",
    "Trace",
    "Traffic",
    "WrongRows",
    "batch",
    "check",
    "check_whenever_saved",
    "compare",
    "diff",
    "quoted",
    "several",
    "snapshot",
    "text_fault",
    "ways_in",
    "ways_past",
    "ways_to_orphan",
]
