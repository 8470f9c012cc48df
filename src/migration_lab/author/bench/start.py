"""The starts of the lab and of its embedded server, in a clone that is set up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from migration_lab.learner import refresh_notebooks
from migration_lab.paths import ROOT
from migration_lab.server import Embedded

from ..refresh import new_learner
from .learner import learner
from .measurement import Timed, timed
from .page import until_it_answers
from .program import BASE_PYTHON, BIN


@contextmanager
def start() -> Iterator[list[Timed]]:
    with learner() as (workspace, _):
        refresh_notebooks(workspace)

        def ours() -> float:
            Embedded(workspace).stop()
            return until_it_answers([BASE_PYTHON, ROOT / "scripts" / "lab.py"], workspace.path)

        def bare() -> float:
            return until_it_answers([BIN / "jupyter", "lab", "--allow-root"], workspace.path)

        yield [ours, bare]


@contextmanager
def first() -> Iterator[list[Timed]]:
    with new_learner() as workspace:

        def ours() -> float:
            Embedded(workspace).discard()
            return timed(Embedded(workspace).start)

        yield [ours]


@contextmanager
def later() -> Iterator[list[Timed]]:
    with new_learner() as workspace:
        Embedded(workspace).start()

        def ours() -> float:
            Embedded(workspace).stop()
            return timed(Embedded(workspace).start)

        yield [ours]
