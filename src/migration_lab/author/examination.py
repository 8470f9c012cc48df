"""What an exercise still lacks, in plain sentences: its files are read, and all its answers and mutants are graded."""

from __future__ import annotations

import ast
import json
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migration_lab.course import Exercise, exercises, find_exercise, read_exercise
from migration_lab.files import files_in
from migration_lab.grading import Grade, Outcome, batch
from migration_lab.paths import NOTEBOOKS
from migration_lab.server import Server
from migration_xray.errors import UserError
from migration_xray.words import listed, nearest

from .mutants import mutants
from .survivors import judged

RIGHT, WRONG, WORDS = 2, 3, 50  # the least that an exercise has: of right/ and wrong/, and of its explanation
SECONDS = 1.2  # a grading, with two at once, on two processors: 0.6 of most exercises, and several of the last ones
NEEDED = {"exercise.toml", "check.py", "starter", "solution"}
KEYS = {"title", "hints", "explanation", "start", "project", "round_trip", "second_try", "not_in_force"}
KEYS |= {"right_over_solution", "wrong_over_solution"}
TABLES = {"right", "wrong", "equivalent", "rows"}


@dataclass(frozen=True)
class Finding:
    """One thing that is as it should be (``fine``), or is missing; None where the lab or the server kept it from being seen."""

    about: str
    fine: bool | None
    sentence: str

    def __str__(self) -> str:
        return f"  {'?' if self.fine is None else '✔' if self.fine else '✘'} {self.sentence}"


@dataclass
class Report:
    """All that was found about an exercise."""

    exercise: str
    findings: list[Finding] = field(default_factory=list)

    @property
    def status(self) -> int:
        """0 if nothing is missing, 2 if something could not be seen, else 1."""
        if any(finding.fine is None for finding in self.findings):
            return 2
        return 0 if all(finding.fine for finding in self.findings) else 1

    def __str__(self) -> str:
        lines = [self.exercise]
        for title, fine in (("Fine", True), ("Missing", False), ("Could not be seen", None)):
            found = [str(finding) for finding in self.findings if finding.fine is fine]
            lines += [f" {title}", *found] if found else []
        return "\n".join(lines)

    def to_dict(self) -> dict[str, str | list[str]]:
        """What ``lab author check --json`` prints of it."""
        kinds = {"fine": True, "missing": False, "unknown": None}
        found = {kind: [one.sentence for one in self.findings if one.fine is fine] for kind, fine in kinds.items()}
        return {"exercise": self.exercise, **found}


def examine_all(words: str, say: Callable[[str], None], tell: Callable[[Report], None]) -> int:
    """Examine one exercise, or all of them where ``words`` are empty. Returns the exit status of ``lab author check``.

    ``say`` is told what is done next, ``tell`` each report.
    """
    names = [words.strip()] if words.strip() else list(exercises())
    if len(names) > 1:
        count = sum(
            len(mutants(exercise)) + 3 + len(exercise.right | exercise.wrong) for exercise in exercises().values()
        )
        say(f"{len(names)} exercises, {count:,} gradings: about {max(1, round(count * SECONDS / 60))} minutes")
    choose_server, statuses = batch.chosen_once(), []
    for name in names:
        report = examine(name, choose_server, say)
        tell(report)
        statuses.append(report.status)
    return max(statuses)


def examine(name: str, choose_server: Callable[[], Server], say: Callable[[str], None]) -> Report:
    """All that can be found about the exercise in the folder of this name. Raises UserError where there is no such folder."""
    report = Report(name, list(written(name)))
    absent = sorted(NEEDED - {path.name for path in _folder(name).iterdir()})
    if absent:
        report.findings.append(Finding("files", False, f"There is no {listed(absent)}, so no answer was graded."))
        return report
    try:
        exercise = read_exercise(name, _lesson(name) or {"number": "", "start": "small"})
    except UserError as error:
        report.findings.append(Finding("exercise.toml", False, f"{error} No answer was graded."))
        return report
    report.findings += _graded(exercise, choose_server, say)
    return report


def written(name: str) -> Iterator[Finding]:
    """What is found by reading: the files, exercise.toml, the manifest and the lesson's notebook."""
    folder = _folder(name)
    yield from _of_files(folder)
    yield from _of_place(name)
    if not (folder / "exercise.toml").is_file():
        return
    try:
        told = tomllib.loads((folder / "exercise.toml").read_text(encoding="utf-8"))
    except ValueError:
        return  # read_exercise says so
    yield from _of_words(told)
    yield from _of_answers(folder, told)


def _folder(name: str) -> Path:
    folder = NOTEBOOKS / "exercises" / name
    if not folder.is_dir():
        find_exercise(name)  # says which is near
        raise UserError(f"There is no folder {folder}.")
    return folder


def _lesson(name: str) -> dict[str, Any] | None:
    """The manifest's entry of the lesson that names this exercise."""
    manifest = tomllib.loads((NOTEBOOKS / "lessons.toml").read_text(encoding="utf-8"))
    return next((entry for entry in manifest["lesson"] if name in entry.get("exercises", ())), None)


def _of_files(folder: Path) -> Iterator[Finding]:
    unreadable = []
    for file in files_in(folder):
        try:
            text = file.read_text(encoding="utf-8")
            if (
                file.suffix == ".py" and "wrong" not in file.relative_to(folder).parts
            ):  # a slip there may be what is wrong
                ast.parse(text)
        except (ValueError, SyntaxError) as error:
            unreadable.append(f"{file.relative_to(folder).as_posix()} can't be read: {error}.")
    for sentence in unreadable:
        yield Finding("files", False, sentence)
    if not unreadable:
        yield Finding("files", True, "Every file can be read.")
    starter = folder / "starter"
    if starter.is_dir() and not any(b"TODO" in file.read_bytes() for file in files_in(starter)):
        yield Finding(
            "starter", False, "No file of the starter has a TODO: mark the gap, and the lab knows what to edit."
        )


def _of_place(name: str) -> Iterator[Finding]:
    """Whether a learner ever meets the exercise."""
    entry = _lesson(name)
    if entry is None:
        yield Finding(
            "manifest", False, f"No lesson has {name} in its `exercises` in lessons.toml: no learner meets it."
        )
        return
    notebook = NOTEBOOKS / f"{entry['number']}_{entry['name']}.ipynb"
    yield Finding("manifest", True, f"Lesson {entry['number']} has it in lessons.toml.")
    if not notebook.is_file():
        yield Finding("notebook", False, f"The notebook {notebook.name} is not there.")
        return
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    lines = {"".join(cell["source"]).partition("\n")[0] for cell in cells if cell["cell_type"] == "code"}
    starter = _folder(name) / "starter"
    to_edit = [file for file in files_in(starter) if b"TODO" in file.read_bytes()] if starter.is_dir() else []
    wanted = [f"%%answer {name} {file.relative_to(starter).as_posix()}" for file in to_edit] + [f"%check {name}"]
    absent = [line for line in wanted if line not in lines]
    for line in absent:
        yield Finding("notebook", False, f"{notebook.name} has no cell that begins with `{line}`.")
    if not absent:
        yield Finding("notebook", True, f"{notebook.name} has its answer cells and its check.")


def _of_words(told: dict[str, Any]) -> Iterator[Finding]:
    for key in told.keys() - KEYS - TABLES:
        yield Finding(
            "exercise.toml", False, f"exercise.toml has a key {key}, which nothing reads.{nearest(key, KEYS)}"
        )
    hints = told.get("hints", [])
    if len(hints) < 2:
        yield Finding("hints", False, "Give at least two hints: one that asks, and one that tells.")
    elif "?" not in hints[0]:
        yield Finding("hints", False, "The first hint does not ask. Let it ask what leads to the answer.")
    else:
        yield Finding("hints", True, f"There are {len(hints)} hints, and the first one asks.")
    count = len(told.get("explanation", "").split())
    if count < WORDS:
        missing = (
            f"`explanation` has {count} words. Write at least {WORDS}: why this form, and when another one is better."
        )
        yield Finding("explanation", False, missing)
    else:
        yield Finding("explanation", True, f"The explanation has {count} words.")


def _of_answers(folder: Path, told: dict[str, Any]) -> Iterator[Finding]:
    """Whether right/ and wrong/ have enough folders, and exercise.toml a line for each."""
    for kind, least, line in (("right", RIGHT, "why it is right"), ("wrong", WRONG, "a piece of its message")):
        names = {path.name for path in (folder / kind).glob("*/")}
        if len(names) < least:
            missing = f"{kind}/ has {len(names)} folders, and at least {least} are needed"
            what = "other forms of a right answer" if kind == "right" else "mistakes that people make"
            yield Finding(kind, False, f"{missing}: {what}.")
        else:
            yield Finding(kind, True, f"{kind}/ has {len(names)} folders.")
        for name in sorted(names - told.get(kind, {}).keys()):
            yield Finding(kind, False, f"[{kind}] in exercise.toml has no line for {kind}/{name}: {line}.")
        for name in sorted(told.get(kind, {}).keys() - names):
            yield Finding(kind, False, f"[{kind}] in exercise.toml names {name}, and there is no folder {kind}/{name}.")


def _graded(exercise: Exercise, choose_server: Callable[[], Server], say: Callable[[str], None]) -> list[Finding]:
    """What is found by grading. The mutants of a solution that does not pass would show nothing."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as touched:
        for name in exercise.to_edit:
            file = Path(touched) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            text = (exercise.folder / "starter" / name).read_text(encoding="utf-8")
            file.write_text(f"{text}# an attempt\n", encoding="utf-8")
        answers = {
            "starter": [exercise.folder / "starter"],
            "touched": [Path(touched)],
            "solution": [exercise.folder / "solution"],
            **{f"right/{name}": exercise.layers(folder) for name, folder in exercise.right.items()},
            **{f"wrong/{name}": exercise.layers(folder) for name, folder in exercise.wrong.items()},
        }
        say(f"{exercise.id}: {len(answers)} answers")
        graded = batch.grade_each(exercise, list(answers.values()), choose_server, lambda grade: None)
    findings = [_of_grade(exercise, name, grade) for name, grade in zip(answers, graded, strict=True)]
    if all(one.fine for one in findings if one.about == "solution"):
        findings += _of_mutants(exercise, choose_server, say)
    else:
        findings.append(Finding("mutants", False, "The solution's mutants were not tried, since it does not pass."))
    return findings


def _of_grade(exercise: Exercise, name: str, grade: Grade) -> Finding:
    about = name.partition("/")[0]
    if not grade.at_fault:
        return Finding(about, None, f"{name} could not be graded: {grade.message}")
    passed = grade.outcome is Outcome.PASSED
    if about == "starter":
        fine = grade.outcome is Outcome.NOT_ATTEMPTED
        return Finding(about, fine, "The starter is not an attempt." if fine else f"The starter is judged: {grade}")
    if about == "touched":
        fine = not passed
        return Finding(
            "starter", fine, "The starter with a comment does not pass." if fine else "The starter passes as it is."
        )
    if about == "wrong":
        return _of_wrong(exercise, name, grade)
    return Finding(about, passed, f"{name} passes." if passed else f"{name} does not pass: {grade}")


def _of_wrong(exercise: Exercise, name: str, grade: Grade) -> Finding:
    if grade.outcome not in (Outcome.NOT_YET, Outcome.COULD_NOT_RUN):
        return Finding("wrong", False, f"{name} is not refused: {grade}")
    own, said = name.removeprefix("wrong/"), recognised(exercise, grade.message)
    if own not in said:
        return Finding("wrong", False, f"{name} is refused, but not with the text that [wrong] has for it: {grade}")
    if others := [other for other in said if other != own]:
        return Finding("wrong", False, f"{name} gets the message of {listed(others)} too: {grade}")
    return Finding("wrong", True, f"{name} is refused with a message of its own.")


def recognised(exercise: Exercise, message: str) -> list[str]:
    """The wrong answers whose text in exercise.toml is in a message."""
    return [name for name, piece in exercise.told.get("wrong", {}).items() if piece in message]


def _of_mutants(
    exercise: Exercise, choose_server: Callable[[], Server], say: Callable[[str], None]
) -> Iterator[Finding]:
    made, declared = mutants(exercise), exercise.told.get("equivalent", {})
    done = 0

    def count(_: object) -> None:
        nonlocal done
        done += 1
        if done % 10 == 0 or done == len(made):
            say(f"{exercise.id}: {done} of {len(made)} mutants")

    to_do = 0
    for one in judged(exercise, made, choose_server, count):
        if sentence := one.to_do(declared):
            to_do += 1
            yield Finding("mutants", False if one.grade.at_fault else None, sentence)
    for name in sorted(declared.keys() - {mutant.name for mutant in made}):
        yield Finding("mutants", False, f"[equivalent] declares a mutant that is not made any more: {name}")
    yield Finding("mutants", True, f"{len(made) - to_do} of {len(made)} mutants are refused, or declared equivalent.")
