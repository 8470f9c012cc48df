"""What a learner has done: tries, hints and passes, in one readable file, ``work/progress.json``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from .course import Exercise, Lesson, exercises, lessons
from .grading import Grade, Outcome
from .workspace import Workspace, content_digest, write_whole

HONEST_TRIES = 3


class Progress:
    """One workspace's progress. Each method reads and writes the file whole, under a lock that kernels share."""

    def __init__(self, workspace: Workspace):
        self.workspace = workspace
        self.path = workspace.path / "progress.json"

    def opened(self, lesson: Lesson) -> None:
        with self._changing() as state:
            state["lessons"].setdefault(lesson.number, _now())

    def graded(self, grade: Grade) -> None:
        """Record a grade. An honest try is an answer that ran or failed by itself and was not tried before."""
        if grade.outcome is Outcome.NOT_ATTEMPTED or not grade.at_fault:
            return
        with self._changing() as state:
            entry = state["exercises"].setdefault(grade.exercise.id, {})
            if grade.outcome is Outcome.PASSED:
                entry.setdefault("passed", _now())
                return
            answer = content_digest(self.workspace.project(grade.exercise.place))[:12]
            tries = entry.setdefault("tries", [])
            if answer not in tries:
                tries.append(answer)

    def next_hint(self, exercise: Exercise) -> tuple[int, str]:
        """(number, text) of the next hint; after the last one, the last one again."""
        with self._changing() as state:
            entry = state["exercises"].setdefault(exercise.id, {})
            entry["hints"] = min(entry.get("hints", 0) + 1, len(exercise.hints))
            return entry["hints"], exercise.hints[entry["hints"] - 1]

    def passed(self, exercise: Exercise) -> bool:
        return "passed" in self._entry(exercise)

    def tries(self, exercise: Exercise) -> int:
        return len(self._entry(exercise).get("tries", ()))

    def may_see_solution(self, exercise: Exercise) -> bool:
        return self.passed(exercise) or self.tries(exercise) >= HONEST_TRIES

    def table(self) -> list[tuple[Lesson, bool, list[tuple[Exercise, bool, int]]]]:
        """For each lesson: was it opened, and for each of its exercises: is it passed, after how many failed tries."""
        state = self._read()
        return [
            (
                lesson,
                lesson.number in state["lessons"],
                [(exercise, self.passed(exercise), self.tries(exercise)) for exercise in lesson.exercises],
            )
            for lesson in lessons().values()
        ]

    def _entry(self, exercise: Exercise) -> dict:
        return self._read()["exercises"].get(exercise.id, {})

    def _read(self) -> dict:
        state = {"lessons": {}, "exercises": {}}
        try:
            found = state | json.loads(self.path.read_text(encoding="utf-8"))
            if not _is_whole(found):
                raise ValueError
            return found
        except FileNotFoundError:
            return state
        except (ValueError, TypeError):
            self.workspace.back_up(self.path)
            return state

    @contextmanager
    def _changing(self) -> Iterator[dict]:
        with self.workspace.locked("progress"):
            state = self._read()
            yield state
            write_whole(self.path, json.dumps(state, indent=1, ensure_ascii=False) + "\n")


def _is_whole(state: dict) -> bool:
    """Whether a file holds what this module writes; a person may have edited it."""
    kinds = {"passed": str, "tries": list, "hints": int}
    return all(isinstance(state[key], dict) for key in ("lessons", "exercises")) and all(
        isinstance(entry, dict) and all(isinstance(entry.get(key, kind()), kind) for key, kind in kinds.items())
        for entry in state["exercises"].values()
    )


def report(progress: Progress) -> str:
    """The progress as a page of text: what is done, what is next."""
    lines, upcoming = [], None
    for lesson, opened, done in progress.table():
        finished = opened and all(passed for _, passed, _ in done)
        lines.append(f"{'✔' if finished else '◐' if opened else '○'} {lesson.number}  {lesson.title}")
        for exercise, passed, tries in done:
            note = "passed" if passed else f"{tries} {'try' if tries == 1 else 'tries'} so far" if tries else "not tried"
            lines.append(f"    {'✔' if passed else '○'} {exercise.id}: {note}")
            upcoming = upcoming or (None if passed else f"%check {exercise.id}, in lesson {lesson.number}")
        if not opened:
            upcoming = upcoming or f"lesson {lesson.number}, {lesson.title}"
    solved = sum(progress.passed(exercise) for exercise in exercises().values())
    lines.append(f"{solved} of {len(exercises())} exercises passed. " + (f"Next: {upcoming}." if upcoming else "All done."))
    return "\n".join(lines)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
