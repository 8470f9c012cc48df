"""The learner's answers that passed: each is kept as files, with what its upgrade cost when it passed."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from migration_lab.course import DELETED, Answer, Exercise, contents
from migration_lab.files import content_digest
from migration_lab.workspace import Workspace
from migration_xray.costs import Costs

from .grade import Grade

COSTS = "passes.json"  # in .lab/


@dataclass(frozen=True)
class Pass:
    """A distinct answer that passed. ``at`` is when it passed last, and ``costs`` what it cost then; None if that is not
    known: the lab's note is lost, the server was, or somebody has changed the files since.
    """

    number: int
    folder: Path
    at: datetime | None = None
    costs: Costs | None = None

    @property
    def answer(self) -> Answer:
        files = contents(self.folder)
        removed = files.pop(DELETED, b"").decode("utf-8", errors="replace").split("\n")
        return {**files, **{name: None for name in removed if name}}


def keep_pass(grade: Grade, workspace: Workspace) -> None:
    """Keep the answer that this grade is about, unless it is kept already, and note what it cost this time."""
    if grade.answer is None:
        return
    with workspace.locked("passes"):
        kept = passes(grade.exercise, workspace)
        known = next((one for one in kept if one.answer == grade.answer), None)
        number = known.number if known else max((one.number for one in kept), default=0) + 1
        folder = _place(grade.exercise, workspace) / str(number)
        if not known:
            _write(folder, grade.answer)
        noted: dict[str, Any] = workspace.read_json(COSTS, {})
        noted[f"{grade.exercise.id}/{number}"] = {
            "at": datetime.now().astimezone().replace(microsecond=0).isoformat(),
            "files": content_digest(folder),
            "costs": grade.costs and grade.costs.to_dict(),
        }
        workspace.write_json(COSTS, noted)


def passes(exercise: Exercise, workspace: Workspace) -> list[Pass]:
    """The answers to an exercise that are kept, in the order in which they first passed."""
    noted: dict[str, Any] = workspace.read_json(COSTS, {})
    place = _place(exercise, workspace)
    folders = {int(folder.name): folder for folder in place.glob("*") if folder.is_dir() and folder.name.isdecimal()}
    return [
        _noted(Pass(number, folder), noted.get(f"{exercise.id}/{number}")) for number, folder in sorted(folders.items())
    ]


def latest_pass(exercise: Exercise, workspace: Workspace) -> Pass | None:
    """The kept answer that passed last, or None."""
    kept = passes(exercise, workspace)
    return max(kept, key=lambda one: (one.at.timestamp() if one.at else 0.0, one.number), default=None)


def _place(exercise: Exercise, workspace: Workspace) -> Path:
    return workspace.path / "passes" / exercise.id


def _noted(kept: Pass, note: Any) -> Pass:
    """A pass with what the lab's note says of it; a person may have edited the note, or the files."""
    try:
        if note["files"] != content_digest(kept.folder):
            return kept
        return Pass(kept.number, kept.folder, datetime.fromisoformat(note["at"]), Costs.from_dict(note["costs"]))
    except (KeyError, TypeError, ValueError):
        return kept


def _write(folder: Path, answer: Answer) -> None:
    """Write an answer's files into a new folder, whole or not at all, in the form that `lab check --answer` reads."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    files = {name: content for name, content in answer.items() if content is not None}
    if removed := [name for name, content in answer.items() if content is None]:
        files[DELETED] = "".join(f"{name}\n" for name in removed).encode()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".saving-") as saving:
        for name, content in files.items():
            target = Path(saving) / "answer" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        (Path(saving) / "answer").rename(folder)
