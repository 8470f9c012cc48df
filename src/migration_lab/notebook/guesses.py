"""Predictions in a notebook: ``%predict`` notes a guess, and the cell that answers it shows guess and outcome."""

from __future__ import annotations

import re
from contextlib import suppress

from IPython.core.interactiveshell import ExecutionInfo
from IPython.display import display

from migration_lab.course import Cell, Lesson, Prediction, answering_cell, find_cell, find_prediction, predictions
from migration_lab.learner import Progress
from migration_lab.workspace import Workspace
from migration_xray.errors import UserError


class Guesses:
    """The guesses of one kernel. ``waiting`` are the predictions whose answering cell has not run since ``%predict``."""

    def __init__(self) -> None:
        self.waiting: list[Prediction] = []
        self.front_end_sends_ids = False

    def note(self, line: str) -> str:
        """Note the guess in a line of ``%predict``; returns a sentence about it."""
        name, _, said = line.strip().partition(" ")
        if not name:
            raise UserError("Which prediction? Write its name after %predict, as the lesson's cell has it.")
        prediction = find_prediction(name)
        if prediction not in self.waiting:
            self.waiting.append(prediction)
        progress = Progress(Workspace())
        entry = progress.prediction(prediction)
        if "shown" in entry:
            return _too_late(prediction, entry.get("guess"), bool(said.strip()))
        if said.strip():
            guess = prediction.read(said)
            progress.predicted(prediction, guess)
            return f"Noted: {plain(prediction.in_words(guess))}. Now run the next cell."
        if "guess" in entry:
            return f"Your guess is noted: {plain(prediction.in_words(entry['guess']))}. Now run the next cell."
        if prediction.choices:
            return (
                "To predict, write the letter of your choice after the name and run this cell again, for example "
                f"`%predict {prediction.id} a`. You may also simply go on."
            )
        return "To predict, write your guess after the name and run this cell again. You may also simply go on."

    def compare(self, lesson: Lesson, info: ExecutionInfo, error: BaseException | None) -> None:
        """Show guess and outcome of each prediction that the cell which has just run answers."""
        source = info.raw_cell or ""
        cell = find_cell(lesson, info.cell_id, source)
        self.front_end_sends_ids |= cell is not None and cell.id == info.cell_id
        if source.lstrip().startswith("%predict"):
            return
        for prediction in self._answered(lesson, cell):
            answering = answering_cell(lesson, prediction.id)
            if not _has_happened(error, must_fail=answering is not None and answering.must_fail):
                continue
            progress = Progress(Workspace())
            guess = progress.prediction(prediction).get("guess")
            with suppress(OSError):  # a disk that refuses must not hide the explanation
                progress.compared(prediction)
            display(compared(prediction, guess), raw=True)
            if prediction in self.waiting:
                self.waiting.remove(prediction)

    def _answered(self, lesson: Lesson, cell: Cell | None) -> list[Prediction]:
        """The predictions that a cell answers.

        The order of the course's cells decides, so the explanation comes without ``%predict`` too. A cell that is not the
        course's answers what was asked last, unless the front end sends the course's ids: then the learner added it.
        """
        if cell:
            asked = [one for one in predictions().values() if one.lesson == lesson.number]
            return [one for one in asked if answering_cell(lesson, one.id) == cell]
        return [] if self.front_end_sends_ids else self.waiting[:]


def compared(prediction: Prediction, guess: str | None) -> dict[str, str]:
    """Guess and outcome beside each other, then the explanation, by MIME type."""
    outcome = prediction.in_words(prediction.answer)
    said = prediction.in_words(guess or "")
    right = " ✔ right" if guess and prediction.is_right(guess) else ""
    both = [f"You predicted: {plain(said)}{right}"] * bool(guess) + [f"Outcome: {plain(outcome)}"] * bool(outcome)
    if guess not in prediction.lettered:
        said = _escaped(said)
    if guess and outcome:
        row = " | ".join(text.replace("|", r"\|") for text in (f"{said}{right}", outcome))
        head = f"| You predicted | Outcome |\n|---|---|\n| {row} |"
    else:
        head = f"**You predicted:** {said}" if guess else f"**Outcome:** {outcome}" if outcome else ""
    return {
        "text/markdown": "\n\n".join(filter(None, [head, prediction.why])),
        "text/plain": "\n\n".join(filter(None, ["\n".join(both), plain(prediction.why)])),
    }


def plain(markdown: str) -> str:
    """Markdown without its links and its bold type, for where nothing renders it."""
    return re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", markdown).replace("**", "")


def _escaped(text: str) -> str:
    """A learner's words as they are: nothing in them is Markdown or HTML. A table's row escapes its bars itself."""
    return re.sub(r"([!-/:-@\[-`{}~])", r"\\\1", text)


def _has_happened(error: BaseException | None, must_fail: bool) -> bool:
    """Whether a cell showed its outcome: it came to its end, or to the error that the lesson is about."""
    return error is None or (must_fail and not isinstance(error, KeyboardInterrupt))


def _too_late(prediction: Prediction, guess: str | None, another: bool) -> str:
    first = f"Your guess was: {plain(prediction.in_words(guess))}. " if guess else ""
    stays = ", so your first guess stays" if guess else ", so a guess is no longer noted"
    return f"{first}The answer was shown already{stays if another else ''}."
