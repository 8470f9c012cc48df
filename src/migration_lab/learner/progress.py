"""What a learner has done: time, tries, hints, passes and predictions, in one readable file, ``work/progress.json``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from migration_lab.course import Exercise, Lesson, Prediction, exercises, lessons
from migration_lab.files import content_digest, write_whole
from migration_lab.workspace import Workspace
from migration_xray.errors import UserError

from .grade import Grade, Outcome
from .passes import keep_pass

HONEST_TRIES = 3
PAUSE = 30 * 60  # seconds: whoever is not seen for longer was not at work
OFTEN = 60  # seconds: to note every cell would be to write the file all the time


class Progress:
    """One workspace's progress. Each method reads and writes the file whole, under a lock that kernels share."""

    def __init__(self, workspace: Workspace):
        self.workspace = workspace
        self.path = workspace.path / "progress.json"

    def opened(self, lesson: Lesson) -> None:
        with self._changing() as state:
            state["lessons"].setdefault(lesson.number, _now().isoformat())
            _count(state, lesson.number)

    def seen(self, place: Lesson | Exercise) -> None:
        """Note that somebody is at work there. A disk that refuses must not stop the work for this."""
        number = _number(place)
        with suppress(OSError):
            state = self._read()
            if state["last"].get("lesson") != number or not 0 <= _since_last(state) < OFTEN:
                with self._changing() as state:
                    _count(state, number)

    def graded(self, grade: Grade) -> None:
        """Record a grade. An honest try is an answer that ran or failed by itself and was not tried before.

        With the pass the count ends: who plays on with an answer has passed all the same.
        """
        self.seen(grade.exercise)
        keep_pass(grade, self.workspace)
        if grade.outcome is Outcome.NOT_ATTEMPTED or not grade.at_fault or self.passed(grade.exercise):
            return
        with self._changing() as state:
            entry = state["exercises"].setdefault(grade.exercise.id, {})
            if grade.outcome is Outcome.PASSED:
                entry.setdefault("passed", _now().isoformat())
                return
            answer = content_digest(self.workspace.project(grade.exercise.place))[:12]
            tries = entry.setdefault("tries", [])
            if answer not in tries:
                tries.append(answer)

    def next_hint(self, exercise: Exercise) -> tuple[int, str]:
        """(number, text) of the next hint; after the last one, the last one again."""
        with self._changing() as state:
            _count(state, exercise.lesson)
            entry = state["exercises"].setdefault(exercise.id, {})
            entry["hints"] = min(entry.get("hints", 0) + 1, len(exercise.hints))
            return entry["hints"], exercise.hints[entry["hints"] - 1]

    def saw_solution(self, exercise: Exercise) -> None:
        with self._changing() as state:
            _count(state, exercise.lesson)
            state["exercises"].setdefault(exercise.id, {}).setdefault("solution", _now().isoformat())

    def passed(self, exercise: Exercise) -> bool:
        return "passed" in self.entry(exercise)

    def tries(self, exercise: Exercise) -> int:
        return len(self.entry(exercise).get("tries", ()))

    def may_see_solution(self, exercise: Exercise) -> bool:
        return self.passed(exercise) or self.tries(exercise) >= HONEST_TRIES

    def predicted(self, prediction: Prediction, guess: str) -> None:
        """Note a guess in the place of the one before. Once the answer was shown, the first one stays."""
        with self._changing() as state:
            _count(state, prediction.lesson)
            entry = state["predictions"].setdefault(prediction.id, {})
            if "shown" not in entry:
                entry |= {"guess": guess, "at": _now().isoformat()}

    def compared(self, prediction: Prediction) -> None:
        """Note that the answer was shown, and whether the guess before it was right, if that can be known."""
        if "shown" in self.prediction(prediction):
            return
        with self._changing() as state:
            entry = state["predictions"].setdefault(prediction.id, {})
            entry["shown"] = _now().isoformat()
            if "guess" in entry and (right := prediction.is_right(entry["guess"])) is not None:
                entry["right"] = right

    def prediction(self, prediction: Prediction) -> dict:
        """What the file says of a prediction: the guess, when it was made, when its answer was shown, and whether it was
        right."""
        return self._read()["predictions"].get(prediction.id, {})

    def predictions_made(self) -> tuple[int, int, int]:
        """How many guesses were made, how many of them could be compared with the outcome, and how many were right."""
        made = [entry for entry in self._read()["predictions"].values() if "guess" in entry]
        return len(made), sum("right" in entry for entry in made), sum(entry.get("right", False) for entry in made)

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

    def finished(self, lesson: Lesson) -> bool:
        """Whether a lesson was opened and all its exercises are passed."""
        return lesson.number in self._read()["lessons"] and all(map(self.passed, lesson.exercises))

    def first_opened(self, lesson: Lesson) -> datetime | None:
        return moment(self._read()["lessons"].get(lesson.number))

    def seconds(self, lesson: Lesson) -> int | None:
        """The time at work in a lesson; None where nothing is known of it, as of files that older labs wrote."""
        return self._read()["seconds"].get(lesson.number)

    def entry(self, exercise: Exercise) -> dict:
        """What the file says of an exercise."""
        return self._read()["exercises"].get(exercise.id, {})

    def _read(self) -> dict:
        state: dict[str, Any] = {"lessons": {}, "exercises": {}, "seconds": {}, "last": {}, "predictions": {}}
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
    exercise = {"passed": str, "tries": list, "hints": int, "solution": str}
    prediction = {"guess": str, "at": str, "shown": str, "right": bool}
    return (
        all(isinstance(state[key], dict) for key in ("lessons", "exercises", "seconds", "last", "predictions"))
        and all(isinstance(seconds, int) for seconds in state["seconds"].values())
        and all(isinstance(value, str) for value in state["last"].values())
        and all(
            isinstance(entry, dict) and all(isinstance(entry.get(key, kind()), kind) for key, kind in kinds.items())
            for part, kinds in (("exercises", exercise), ("predictions", prediction))
            for entry in state[part].values()
        )
    )


def _number(place: Lesson | Exercise) -> str:
    return place.number if isinstance(place, Lesson) else place.lesson


def _count(state: dict, number: str) -> None:
    """Note a moment at work in a lesson. The time since the one before goes to that one's lesson, if it is not too long.

    So nights and pauses are not counted, a clock that is put back takes nothing away, and no hour is counted twice.
    """
    seconds, before, gap = state["seconds"], state["last"].get("lesson"), _since_last(state)
    seconds.setdefault(number, 0)
    if before in seconds and 0 <= gap <= PAUSE:
        seconds[before] += gap
    state["last"] = {"lesson": number, "at": _now().isoformat()}


def _since_last(state: dict) -> int:
    """The seconds since the last moment at work; -1 if that is not known."""
    at = moment(state["last"].get("at"))
    return -1 if at is None else round((_now() - at).total_seconds())


def report(progress: Progress) -> str:
    """The progress as a page of text: what is done, what is next."""
    lines = []
    for lesson, opened, done in progress.table():
        finished = opened and all(passed for _, passed, _ in done)
        lines.append(f"{'✔' if finished else '◐' if opened else '○'} {lesson.number}  {lesson.title}")
        for exercise, passed, tries in done:
            note = (
                "passed" if passed else f"{tries} {'try' if tries == 1 else 'tries'} so far" if tries else "not tried"
            )
            lines.append(f"    {'✔' if passed else '○'} {exercise.id}: {note}")
    if made := predictions_line(progress):
        lines.append(made)
    solved = sum(progress.passed(exercise) for exercise in exercises().values())
    lines.append(f"{solved} of {len(exercises())} exercises passed. {_next(upcoming(progress))}")
    return "\n".join(lines)


def predictions_line(progress: Progress) -> str:
    """How many predictions were made, and how many were right; empty where none was made."""
    made, compared, right = progress.predictions_made()
    if not made:
        return ""
    line = f"{made} prediction{'s' * (made != 1)} made."
    return line + (
        f" {right} of the {compared} that can be judged {'was' if right == 1 else 'were'} right." if compared else ""
    )


def upcoming(progress: Progress) -> Lesson | Exercise | None:
    """What is next, in the course's order: a lesson that was not opened yet, or an exercise that is not passed."""
    for lesson, opened, done in progress.table():
        if not opened:
            return lesson
        for exercise, passed, _ in done:
            if not passed:
                return exercise
    return None


def _next(place: Lesson | Exercise | None) -> str:
    if place is None:
        return "All done."
    if isinstance(place, Lesson):
        return f"Next: lesson {place.number}, {place.title}."
    return f"Next: %check {place.id}, in lesson {place.lesson}."


def exercise_at_hand(progress: Progress, place: Lesson | Exercise | None) -> Exercise:
    """The exercise to work at: the one that is open, or the next one of the lesson that is, or of the course.

    Raises UserError where all are passed.
    """
    if isinstance(place, Exercise):
        return place
    for exercise in [*(place.exercises if place else ()), *exercises().values()]:
        if not progress.passed(exercise):
            return exercise
    raise UserError("All exercises are passed. To work at one again, name it.")


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def moment(written: object) -> datetime | None:
    """The time that a file states, or None where a person has written something else in its place."""
    if not isinstance(written, str):
        return None
    try:
        return datetime.fromisoformat(written).astimezone()
    except (ValueError, OverflowError, OSError):
        return None
