"""What a check found, as progress records it and a learner reads it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .manifest import Exercise


class Outcome(Enum):
    PASSED = "passed"
    NOT_YET = "not yet"
    NOT_ATTEMPTED = "not attempted"
    COULD_NOT_RUN = "could not run"


@dataclass(frozen=True)
class Grade:
    """What a check found: one of four outcomes and a message to the learner.

    ``at_fault`` is false where the lab, not the answer, is why it could not run.
    """

    exercise: Exercise
    outcome: Outcome
    message: str
    at_fault: bool = True

    def __str__(self) -> str:
        return shown(self.outcome, self.message)


def shown(outcome: Outcome, message: str) -> str:
    """An outcome and its message as a person reads them."""
    sign = {"passed": "✔", "not yet": "✘", "not attempted": "○", "could not run": "!"}[outcome.value]
    return f"{sign} {outcome.value.capitalize()}: {message}"
