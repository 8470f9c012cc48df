"""Whether the files that came with an exercise are as they were given: others have applied them already."""

from __future__ import annotations

from itertools import zip_longest

from migration_lab.course import Answer, Exercise, given_files
from migration_xray.words import listed


def edited(exercise: Exercise, answer: Answer) -> str | None:
    """What to say of the given files that an answer has changed or removed; None where there are none.

    Line ends and blanks around the text are no change.
    """
    found = []
    for name, given in given_files(exercise).items():
        content = answer.get(name, given)
        if content is None:
            found.append(f"{name} is gone")
        elif (was := _lines(given)) != (now := _lines(content)):
            found.append(f"{name} is not as it was given{_where(was, now)}")
    if not found:
        return None
    if any("/versions/" in words for words in found):
        why = "A database that has applied a revision never runs it again. Write what is to change in one of your own."
    else:
        why = "The task leaves given files as they are."
    them = "them" if len(found) > 1 else "it"
    reset = f"`%exercise {exercise.id} --reset` does that, and saves your own files first"
    return f"{listed(found)}. Put {them} back: {reset}. {why}"


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8", errors="replace").removeprefix("\ufeff").strip().splitlines()


def _where(was: list[str], now: list[str]) -> str:
    """The first line that differs, by its number."""
    number, before, after = next(
        (number, *pair) for number, pair in enumerate(zip_longest(was, now), 1) if pair[0] != pair[1]
    )
    return f" (line {number}: `{after.strip()}`)" if after is not None else f" (without `{before.strip()}`)"
