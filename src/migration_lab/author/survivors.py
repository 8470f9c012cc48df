"""Which mutants of an exercise's solution pass: each is a hole in the check, or no mistake."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from migration_lab.course import Exercise
from migration_lab.grading import Grade, Outcome, batch
from migration_lab.server import Server

from .mutants import Mutant


@dataclass(frozen=True)
class Judged:
    """A mutant, and what the grader says of it."""

    mutant: Mutant
    grade: Grade

    def to_do(self, declared: Mapping[str, str]) -> str | None:
        """What is wrong, in a sentence; None if it is refused, or passes and exercise.toml declares it equivalent."""
        name, passed = self.mutant.name, self.grade.outcome is Outcome.PASSED
        if not self.grade.at_fault:
            return f"This mutant could not be graded: {name}. {self.grade.message}"
        if passed and name not in declared:
            return f"This mutant passes; refuse it in check.py, or say in [equivalent] why it is right: {name}"
        if not passed and name in declared:
            return f"[equivalent] declares this mutant, and it is refused: {name}. {self.grade.message}"
        return None


def judged(
    exercise: Exercise, mutants: Sequence[Mutant], choose_server: Callable[[], Server], tell: Callable[[Judged], None]
) -> list[Judged]:
    """Grade each mutant as an answer; ``tell`` is called with each, in this order."""
    ahead = iter(mutants)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        answers = []
        for number, mutant in enumerate(mutants):
            file = Path(folder) / str(number) / mutant.file
            file.parent.mkdir(parents=True)
            file.write_text(mutant.source, encoding="utf-8")
            answers.append([exercise.folder / "solution", Path(folder) / str(number)])
        grades = batch.grade_each(exercise, answers, choose_server, lambda grade: tell(Judged(next(ahead), grade)))
    return [Judged(mutant, grade) for mutant, grade in zip(mutants, grades, strict=True)]


def sample(mutants: Sequence[Mutant], size: int) -> list[Mutant]:
    """Some of these mutants, the same ones each time: a new one changes little."""
    return sorted(mutants, key=lambda mutant: hashlib.sha256(mutant.name.encode()).digest())[:size]
