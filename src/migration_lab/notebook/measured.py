"""What a lesson's cells have measured, kept under the notebook's names for it, for a fresh kernel that goes on.

A late cell of a lesson may compare what cells far above have measured, and these can't always run again: their migration
has run. So after each cell, what it has set is written to the learner's folder, beside the database in which it was
measured. Only names that the lesson's own cells set are kept, and only data: what the verbs measure, paths, and values that
JSON gives back as they are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path, PurePath
from types import NoneType
from typing import Any

from IPython.core.interactiveshell import ExecutionInfo, InteractiveShell

from migration_lab.course import Lesson, code_cells, find_cell
from migration_lab.files import write_whole
from migration_lab.learner import Opened
from migration_xray import traffic, watch
from migration_xray.errors import UserError
from migration_xray.trace import Trace
from migration_xray.traffic import Felt
from migration_xray.words import listed

from .ipythonsql import ResultSet, Sql
from .names import assigned, imported

VERSION = 1  # of the files; one of another version is passed over
# What last_trace() and last_traffic() give. No name in Python has a hyphen.
LAST: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {
    "last-trace": (watch.last_trace, watch.remember),
    "last-traffic": (traffic.last_traffic, traffic.remember),
}
SESSIONS = "open-sessions"  # those that are unfinished, each with the cell in which it began
UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError)


class Measured:
    """What the cells of one kernel have measured in the lesson that is open.

    ``again`` names what an opening put back, and ``ended`` the sessions of the kernel before that were unfinished.
    """

    def __init__(self, shell: InteractiveShell, sql: Sql):
        self.shell, self.sql = shell, sql
        self.again: list[str] = []
        self.unfinished: dict[str, str] = {}
        self.ended: dict[str, str] = {}
        self.begins_anew = False
        self.known_last: dict[str, Any] = {}

    @property
    def line(self) -> str:
        """What an opening has put back, and what it could not; empty if it was nothing."""
        known = f"What your cells measured is known again: {', '.join(self.again)}." if self.again else ""
        return "\n".join(filter(None, [known, _lost(self.ended)]))

    def put_back(self, opened: Opened) -> None:
        """When a lesson has been opened: give the notebook what was measured in this database."""
        self.again, self.unfinished, self.ended, self.begins_anew = [], {}, {}, opened.is_new
        if opened.is_new or not isinstance(opened.place, Lesson):
            return
        self._import_again(opened.place)
        for name in sorted(names_of(opened.place)):
            with suppress(*UNREADABLE):
                kind, self.shell.user_ns[name] = self._read(opened.measured / f"{name}.json")
                if kind in ("trace", "traffic", "rows"):
                    self.again.append(name)
        for name, (_, remember) in LAST.items():
            with suppress(*UNREADABLE):
                _, self.known_last[name] = self._read(opened.measured / f"{name}.json")
                remember(self.known_last[name])
        with suppress(*UNREADABLE):
            _, self.ended = self._read(opened.measured / f"{SESSIONS}.json")

    def keep(self, opened: Opened, info: ExecutionInfo, unfinished: list[str]) -> None:
        """After a cell: keep what it has set. What it could not have set stays as it is kept.

        Sessions that are unfinished are noted too: they end with this kernel, and the next one says so.

        A lesson may reset in its middle, and compare later what was measured before. So such a cell keeps once more what
        the cells above it have set.
        """
        lesson, source = opened.place, info.raw_cell or ""
        if not isinstance(lesson, Lesson):
            return
        cells, here = code_cells(lesson), find_cell(lesson, info.cell_id, source)
        names = assigned(source) & names_of(lesson)
        if self.begins_anew and here:
            names = names.union(*(assigned(cell.source) for cell in cells[: cells.index(here)])) & names_of(lesson)
        self.begins_anew = False
        for name in names:
            _write(opened.measured / f"{name}.json", self.shell.user_ns.get(name))
        for name, (last, _) in LAST.items():
            with suppress(UserError):  # nothing was measured yet
                if self.known_last.get(name) is not last():
                    self.known_last[name] = last()
                    _write(opened.measured / f"{name}.json", last())
        begin = source.strip().partition("\n")[0]
        self.unfinished = {name: self.unfinished.get(name, begin) for name in unfinished}
        _write(opened.measured / f"{SESSIONS}.json", self.unfinished or None)

    def _import_again(self, lesson: Lesson) -> None:
        """Import what the lesson's cells import, where that is loaded already: pandas and matplotlib would take their time."""
        for cell in code_cells(lesson):
            for name, (module, part) in imported(cell.source).items():
                loaded = sys.modules.get(module)
                if name not in self.shell.user_ns and hasattr(loaded, part or "__name__"):
                    self.shell.user_ns[name] = getattr(loaded, part) if part else loaded

    def _read(self, file: Path) -> tuple[str, Any]:
        """What is kept in a file, after its kind. Raises one of UNREADABLE if it is not there, damaged, or of another version."""
        told = json.loads(file.read_text(encoding="utf-8"))
        if told["version"] != VERSION:
            raise ValueError
        readers: dict[str, Callable[[Any], Any]] = {
            "trace": Trace.from_dict,
            "traffic": Felt.from_dict,
            "rows": lambda value: self.sql.rows(value["columns"], value["rows"]),
            "path": Path,
            "plain": lambda value: value,
        }
        return told["kind"], readers[told["kind"]](told["value"])


@cache
def names_of(lesson: Lesson) -> frozenset[str]:
    """The names that a lesson's cells set, without those that they import, and without Python's name for what nobody needs."""
    names = {name for cell in code_cells(lesson) for name in assigned(cell.source) - imported(cell.source).keys()}
    return frozenset(name for name in names if not name.startswith("_"))


def _lost(ended: dict[str, str]) -> str:
    """Which sessions ended with the kernel before, and the cell in which the first of them began; empty if none did."""
    if not ended:
        return ""
    first = next(iter(ended.values()))
    which, them = ("session", "it") if len(ended) == 1 else ("sessions", "them")
    return (
        f"The {which} {listed(ended)} ended with the kernel, and what was not committed is gone. "
        f"If you still need {them}, go on at the cell that begins with `{first}`."
    )


def _described(value: Any) -> dict[str, Any] | None:
    """A value's kind and what JSON can hold of it; None if it is none of those that are kept."""
    if isinstance(value, Trace):
        return {"kind": "trace", "value": value.to_dict()}
    if isinstance(value, Felt):
        return {"kind": "traffic", "value": value.to_dict()}
    if isinstance(value, ResultSet) and value.pretty:
        rows = [list(row) for row in value]
        return {"kind": "rows", "value": {"columns": list(value.keys), "rows": rows}} if _is_plain(rows) else None
    if isinstance(value, PurePath):
        return {"kind": "path", "value": str(value)}
    return {"kind": "plain", "value": value} if value is not None and _is_plain(value) else None


def _is_plain(value: Any) -> bool:
    """Whether JSON gives a value back as it is: a tuple would come back as a list, and a subclass as what it derives from."""
    if type(value) is list:
        return all(map(_is_plain, value))
    if type(value) is dict:
        return all(type(key) is str and _is_plain(one) for key, one in value.items())
    return type(value) in (NoneType, bool, int, float, str)


def _write(file: Path, value: Any) -> None:
    """Replace what is kept in a file; what can't be kept must not leave there what the name meant before."""
    try:
        described = _described(value)
        text = json.dumps({"version": VERSION} | described) if described else None
    except (ValueError, RecursionError):  # an integer of too many digits, a list that contains itself
        text = None
    if text is None:
        file.unlink(missing_ok=True)
    else:
        write_whole(file, text)
