"""What a check found, as progress records it and a learner reads it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from migration_lab.course import Answer, Exercise
from migration_xray.costs import Costs


class Outcome(Enum):
    PASSED = "passed"
    NOT_YET = "not yet"
    NOT_ATTEMPTED = "not attempted"
    COULD_NOT_RUN = "could not run"


@dataclass(frozen=True)
class Grade:
    """What a check found: one of four outcomes and a message to the learner.

    ``at_fault`` is false where the lab, not the answer, is why it could not run. A pass has the ``answer`` that passed, and
    what its revisions cost if that is known.
    """

    exercise: Exercise
    outcome: Outcome
    message: str
    at_fault: bool = True
    answer: Answer | None = None
    costs: Costs | None = None

    def __str__(self) -> str:
        return shown(self.outcome, self.message)

    @property
    def with_what_is_next(self) -> str:
        """The grade, and after a pass where to read on."""
        if self.outcome is not Outcome.PASSED:
            return str(self)
        name = self.exercise.id
        return f"{self}\n`%solution {name}` shows why, beside the solution. `%golf {name}` ranks your passes."


def shown(outcome: Outcome, message: str) -> str:
    """An outcome and its message as a person reads them."""
    sign = {"passed": "✔", "not yet": "✘", "not attempted": "○", "could not run": "!"}[outcome.value]
    return f"{sign} {outcome.value.capitalize()}: {message}"
