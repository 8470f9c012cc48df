"""Whether the files that came with an exercise are as they were given: others have applied them already."""

from __future__ import annotations

from difflib import SequenceMatcher

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
    other = "Write what is to change in a revision of your own."
    if any("/versions/" in words for words in found):
        other = f"A database that has applied a revision never runs it again. {other}"
    else:
        other = "The task leaves it as it is."
    reset = f"`%exercise {exercise.id} --reset` does that, and saves your own files first"
    return f"{listed(found)}. Put it back: {reset}. {other}"


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8", errors="replace").removeprefix("\ufeff").strip().splitlines()


def _where(was: list[str], now: list[str]) -> str:
    """The first line that differs, by its number."""
    for kind, start, _, line, end in SequenceMatcher(a=was, b=now, autojunk=False).get_opcodes():
        if kind != "equal":
            found = f": `{now[line].strip()}`" if line < end else f" without `{was[start].strip()}`"
            return f" (line {line + 1}{found})"
    return ""
