"""Rooms are entered by their door: from outside, only what a room's ``__init__`` exports is imported.

Otherwise nobody can change the inside of a room without reading all the others. The order of the rooms is checked by
import-linter, which sees modules but not names; https://import-linter.readthedocs.io/en/stable/contract_types/protected/
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from importlib.util import resolve_name
from pathlib import Path

import pytest

from migration_lab.author.rooms import PACKAGES, room_of
from migration_lab.paths import ROOT

SOURCES = ROOT / "src"
ROOMS = sorted(
    f"{package}.{door.parent.name}" for package in PACKAGES for door in (SOURCES / package).glob("*/__init__.py")
)
FILES = [file for package in PACKAGES for file in sorted((SOURCES / package).rglob("*.py"))]


def module_of(file: Path) -> str:
    return ".".join(file.relative_to(SOURCES).with_suffix("").parts).removesuffix(".__init__")


def imported(module: str, file: Path, tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """Each import's line, what it imports from, and the name; '' where the module itself is imported."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            yield from ((node.lineno, source, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, "") for alias in node.names)


def side_entrances(module: str, file: Path, source: str) -> list[str]:
    """The imports in a file's source that do not come in by another room's door."""
    found = []
    for line, origin, name in imported(module, file, ast.parse(source)):
        room = room_of(origin)
        if room in ROOMS and room != room_of(module) and (origin != room or name not in exports(room)):
            found.append(f"{file.name}, line {line}: {name or origin} of {origin}")
    return found


def exports(room: str) -> list[str]:
    return getattr(import_module(room), "__all__", [])


@pytest.mark.parametrize("file", FILES, ids=module_of)
def test_rooms_are_entered_by_their_door(file):
    entrances = side_entrances(module_of(file), file, file.read_text(encoding="utf-8"))
    assert not entrances, "import what the other room's __init__ exports, or export it there"


@pytest.mark.parametrize(
    ("source", "is_wrong"),
    [
        ("from migration_lab.server import server", False),
        ("from migration_lab.server import startstate", False),  # a module that the door exports
        ("from migration_lab.server import embedded", True),  # one that it does not
        ("from migration_lab.server.startstate import ROWS", True),
        ("import migration_lab.server.startstate", True),
        ("from ..server.postgres import meet", True),
        ("from .runner import Stopped", False),  # a room's own
        ("from migration_xray.command import run", False),  # a module is a room without a door
        ("def late():\n    from migration_xray.traffic.felt import Felt", True),
    ],
)
def test_a_side_entrance_is_seen(source, is_wrong):
    """A check that sees none would let the rooms grow together again."""
    file = SOURCES / "migration_lab" / "grading" / "grader.py"
    assert bool(side_entrances("migration_lab.grading.grader", file, source)) == is_wrong


@pytest.mark.parametrize("room", ROOMS)
def test_a_door_exports_what_there_is(room):
    """``__all__`` may outlive what it names; then the first ``import *`` or the next reader finds that out."""
    inside = import_module(room)
    assert [name for name in exports(room) if not hasattr(inside, name)] == []
    assert inside.__doc__, "a door says what its room is for"
