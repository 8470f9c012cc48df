"""Checks an exercise each time that its files are saved: ``lab watch``."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

from migration_lab.course import Exercise
from migration_lab.learner import Grade, Progress
from migration_lab.workspace import Workspace

from .grader import check

LOOK_AGAIN = 0.3  # seconds
SETTLED = 0.6  # seconds without a change: an editor may write a file in pieces, or several files


def check_whenever_saved(
    exercise: Exercise, workspace: Workspace, tell: Callable[[Grade], None], say: Callable[[str], None]
) -> None:
    """Check an exercise now and after each change of its files, until the process is interrupted.

    ``tell`` gets each grade, and ``say`` each step of a grading. Each grade counts as with ``lab check``. A grade of files
    that were changed meanwhile is dropped: the next one follows.
    """
    project, checked = workspace.project(exercise.place), ""
    while True:
        if contents(project) != checked:
            checked = settled(project)
            grade = check(exercise, workspace, say)
            if contents(project) == checked:
                Progress(workspace).graded(grade)
                tell(grade)
        time.sleep(LOOK_AGAIN)


def settled(project: Path) -> str:
    """What is in a project's files, once nobody has written to them for a moment."""
    files, since = contents(project), time.monotonic()
    while time.monotonic() - since < SETTLED:
        time.sleep(LOOK_AGAIN)
        if (now := contents(project)) != files:
            files, since = now, time.monotonic()
    return files


def contents(project: Path) -> str:
    """A digest of the files that a learner writes. Editors keep others beside them, whose names begin with a dot or end
    with a tilde."""
    digest = hashlib.sha256()
    for file in sorted(project.rglob("*")):
        parts = file.relative_to(project).parts
        if any(part.startswith((".", "__")) or part.endswith("~") for part in parts):
            continue
        try:
            digest.update(f"{parts}\0".encode() + file.read_bytes() + b"\0")
        except OSError:  # a folder, or a file that an editor is just replacing
            continue
    return digest.hexdigest()
