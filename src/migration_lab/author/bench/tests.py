"""The README's test command, its parts, and the notebooks beside the same ones without tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from migration_lab.paths import NOTEBOOKS, ROOT
from migration_lab.server import variables

from ..refresh import new_learner
from .learner import settings
from .measurement import Timed, timed
from .program import BASE_PYTHON, BIN, run

ANSWERS = ("tests/grading/test_exercises.py",)
ENGINE = ("tests", f"--ignore={ANSWERS[0]}")
AS_STORED = ("notebooks", "-m", "not again")  # without each lesson's second run


@contextmanager
def command(*arguments: str) -> Iterator[list[Timed]]:
    """The test command with these arguments. It makes a server of its own, and ends it."""
    with variables({"LAB_POSTGRES": "embedded"}):
        yield [lambda: timed(lambda: run([BASE_PYTHON, ROOT / "scripts" / "test.py", *arguments], ROOT))]


@contextmanager
def notebooks() -> Iterator[list[Timed]]:
    """The lessons as stored by the test command, and by Jupyter's own program, one after another."""

    def execute() -> None:
        with new_learner() as workspace, variables(settings(workspace.path)):
            run([BIN / "jupyter", "execute", *sorted(NOTEBOOKS.glob("*.ipynb"))], ROOT)

    with command(*AS_STORED) as functions:
        yield [*functions, lambda: timed(execute)]
