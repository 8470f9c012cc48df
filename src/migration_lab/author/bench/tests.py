"""The tests, and the notebooks among them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from migration_lab.paths import NOTEBOOKS, ROOT
from migration_lab.server import variables

from ..refresh import new_learner
from .learner import settings
from .measurement import Timed, timed
from .program import BIN, run


@contextmanager
def notebooks() -> Iterator[list[Timed]]:
    """Each makes a server of its own, and ends it."""

    def ours() -> float:
        with variables({"LAB_POSTGRES": "embedded"}):
            return timed(
                lambda: run([sys.executable, "-m", "pytest", "-q", "-n", "2", "-m", "not again", NOTEBOOKS], ROOT)
            )

    def execute() -> None:
        with new_learner() as workspace, variables(settings(workspace.path)):
            run([BIN / "jupyter", "execute", *sorted(NOTEBOOKS.glob("*.ipynb"))], ROOT)

    def bare() -> float:
        return timed(execute)

    yield [ours, bare]
