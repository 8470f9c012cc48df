"""What learners predict, read from ``notebooks/predictions.toml``: questions, choices, answers, explanations."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from typing import Any

from migration_lab.paths import NOTEBOOKS
from migration_xray.errors import UserError
from migration_xray.words import nearest

from .manifest import lessons

FILE = "predictions.toml"
LETTERS = "abcdefghi"
KEYS = {"lesson", "question", "choices", "answer", "why"}
NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?")


@dataclass(frozen=True)
class Prediction:
    """One question of a lesson that is asked before a cell shows the answer.

    With ``choices`` a guess is a letter, and so is ``answer``. Without, a guess is free text. ``answer`` is "" where
    the outcome is for people to compare.
    """

    id: str
    lesson: str
    question: str
    choices: tuple[str, ...]
    answer: str
    why: str

    @property
    def markdown(self) -> str:
        """The question and its choices, as the lesson's cell shows them."""
        listed = "\n".join(f"- {letter}) {words}" for letter, words in self.lettered.items())
        return f"**Predict.** {self.question}" + (f"\n\n{listed}" if listed else "")

    @property
    def lettered(self) -> dict[str, str]:
        return dict(zip(LETTERS, self.choices, strict=False))

    def in_words(self, guess: str) -> str:
        """A guess as a person reads it: a letter with the words of its choice."""
        return f"{guess}) {self.lettered[guess]}" if guess in self.lettered else guess

    def read(self, said: str) -> str:
        """The guess that a learner means: a choice's letter, or the text itself where there are no choices.

        Raises UserError where it is none of the choices.
        """
        said = " ".join(said.split())
        if not self.choices:
            return said
        if letter := re.fullmatch(r"\(?([A-Za-z])(?:[).,:](?:\s.*)?)?", said):
            if letter[1].lower() in self.lettered:
                return letter[1].lower()
        elif choice := _meant(said, self.lettered):
            return choice
        raise UserError(
            f'"{said}" is none of the choices, so it was not noted. '
            f"Write a letter from a to {list(self.lettered)[-1]}, for example `%predict {self.id} a`."
        )

    def is_right(self, guess: str) -> bool | None:
        """Whether a guess was right; None where that can't be known, as of a guess in words."""
        if self.choices:
            return guess == self.answer if self.answer else None
        if self.answer and _plain(guess) == _plain(self.answer):
            return True
        wanted, numbers = NUMBER.fullmatch(self.answer), NUMBER.findall(guess)
        return _number(numbers[0]) == _number(wanted[0]) if wanted and len(numbers) == 1 else None


@cache
def predictions() -> dict[str, Prediction]:
    """Every prediction by its id. Raises UserError where the file is not as docs/authoring.md says."""
    path = NOTEBOOKS / FILE
    try:
        entries = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{FILE} is not TOML: {error}.") from None
    return {key: _prediction(key, entry) for key, entry in entries.items()}


def find_prediction(name: str) -> Prediction:
    """The prediction with this id. Raises UserError that names the nearest one where there is none."""
    if name in predictions():
        return predictions()[name]
    raise UserError(f'There is no prediction "{name}".{nearest(name, predictions())}')


def _prediction(key: str, entry: Any) -> Prediction:
    def wrong(what: str) -> UserError:
        return UserError(f"{FILE}, [{key}]: {what}")

    if not re.fullmatch(r"[a-z][a-z0-9_]*", key):
        raise wrong("an id consists of small letters, digits and _, and begins with a letter.")
    if not isinstance(entry, dict):
        raise wrong("each prediction is a table with lesson, question and why.")
    if unknown := sorted(entry.keys() - KEYS):
        raise wrong(f"{unknown[0]} is not known here. The keys are {', '.join(sorted(KEYS))}.")
    for name in ("lesson", "question", "why"):
        if not isinstance(entry.get(name), str) or not entry[name].strip():
            raise wrong(f"{name} is missing, or is no text.")
    if entry["lesson"] not in lessons():
        raise wrong(f'there is no lesson "{entry["lesson"]}" in lessons.toml. Write its number, for example "07".')
    choices = entry.get("choices", [])
    if not isinstance(choices, list) or not all(isinstance(words, str) and words.strip() for words in choices):
        raise wrong("choices is a list of texts.")
    if "choices" in entry and not 2 <= len(choices) <= len(LETTERS):
        raise wrong(f"a question has 2 to {len(LETTERS)} choices, and this one has {len(choices)}.")
    if len({_plain(words) for words in choices}) < len(choices):
        raise wrong("two choices are the same.")
    answer = entry.get("answer", "")
    if isinstance(answer, bool) or not isinstance(answer, (str, int, float)):
        raise wrong("answer is a letter, a short text or a number.")
    if choices and "answer" in entry and answer not in list(LETTERS[: len(choices)]):
        raise wrong(f'answer is "{answer}", and has to be a letter from a to {LETTERS[len(choices) - 1]}.')
    return Prediction(
        key, entry["lesson"], entry["question"].strip(), tuple(choices), str(answer), entry["why"].strip()
    )


def _meant(said: str, choices: dict[str, str]) -> str | None:
    """The letter of the choice whose words a guess repeats; None where several could be meant, or none."""
    guess = f" {_plain(said)} "
    words = {letter: f" {_plain(text)} " for letter, text in choices.items()}
    same = [letter for letter, text in words.items() if text == guess]
    repeated = [letter for letter, text in words.items() if text in guess]
    # "readers and writers" repeats the choice "readers" too, and means the longer one.
    longest = [letter for letter in repeated if all(words[other] in words[letter] for other in repeated)]
    begun = [letter for letter, text in words.items() if guess.strip() and guess in text]
    return next((found[0] for found in (same, longest, begun if not repeated else []) if len(found) == 1), None)


def _plain(text: str) -> str:
    """Words and signs, without capital letters, punctuation and articles."""
    words = re.findall(r"[\w.+-]*\w|[<>=≤≥≠|&*/%+−-]+", text.casefold())
    return " ".join(word for word in words if word not in ("a", "an", "the"))


def _number(text: str) -> float:
    return float(text.replace(",", ""))
