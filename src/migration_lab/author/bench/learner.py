"""The learner whose lab is measured: somebody who has just begun."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from migration_lab.course import find_lesson
from migration_lab.server import Server, ensure_template, server, variables
from migration_lab.workspace import Workspace

from ..refresh import new_learner

LESSON = find_lesson("00")


@contextmanager
def learner() -> Iterator[tuple[Workspace, Server]]:
    """A new learner whose embedded server runs and has the small start state."""
    with new_learner() as workspace, variables(settings(workspace.path)):
        running = server(workspace=workspace)
        ensure_template(running, "small")
        yield workspace, running


def settings(folder: Path) -> dict[str, str]:
    """The variables by which the lab, and JupyterLab, keep to this learner's folder."""
    return {
        "LAB_WORK": str(folder),
        "LAB_POSTGRES": "embedded",
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
    }
