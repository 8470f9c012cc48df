"""For developers: draw the rooms of both packages and their imports, as ``docs/architecture.svg``.

A room is above those that it imports. The same imports give the same bytes on every machine.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator
from textwrap import wrap

from migration_lab.files import write_whole
from migration_lab.paths import ROOT
from migration_lab.pictures import drawing

from .floors import Place, place, ways
from .rooms import Room, essential, imports, rooms

FILE = ROOT / "docs" / "architecture.svg"

# Pixels.
WIDTH, PAD, HEAD, BETWEEN, LETTERS = 900, 12, 58, 74, 34
SMALL, SMALL_CELL, SMALL_ROW = ' font-size="11"', 7, 15
FRAME, ARROW = "#f3f5f8", "#57606a"

LEGEND = (
    "An arrow leads from a room to one that it imports, unless other arrows already lead there.",
    "In small letters below a room's name: what it imports of migration_xray.",
)


def main(arguments: list[str] | None = None) -> int:
    """Draw it again and say where it is."""
    argparse.ArgumentParser("architecture.py", description=__doc__.split("\n")[0]).parse_args(arguments)
    write_whole(FILE, picture(rooms(imports())))
    print(f"{FILE.relative_to(ROOT)} is drawn.")
    return 0


def picture(every: dict[str, Room]) -> str:
    """The rooms as SVG: a frame for each package, the one that imports the other above it."""
    lab, below = _frame("migration_lab", every, drawing.MARGIN, also="migration_xray")
    xray, end = _frame("migration_xray", every, below + BETWEEN)
    legend = [
        drawing.text(drawing.MARGIN, end + 30 + 18 * number, line, drawing.PALE) for number, line in enumerate(LEGEND)
    ]
    height = end + 30 + 18 * len(LEGEND)
    return (
        drawing.svg(
            WIDTH,
            height,
            "The rooms of migration_lab and migration_xray, and their imports",
            "\n".join(_told(every)),
            [*lab, *_between(below), *xray, *legend],
        )
        + "\n"
    )


def _told(every: dict[str, Room]) -> Iterator[str]:
    """The whole picture in words."""
    for room in every.values():
        files = f" ({room.files} files)" if room.is_package else ""
        yield f"{room.package}/{room.label}{files} imports {', '.join(sorted(room.imports)) or 'no other room'}."


def _frame(package: str, every: dict[str, Room], top: int, also: str = "") -> tuple[list[str], int]:
    """A package's frame, its rooms and its arrows, and where the frame ends."""
    own = {name: room for name, room in every.items() if room.package == package}
    links = essential({name: room.imports & own.keys() for name, room in own.items()})
    words = {name: _words(room, also) for name, room in own.items()}
    sizes = {name: (_width(own[name], words[name]), LETTERS + SMALL_ROW * len(words[name])) for name in own}
    floors = place(sizes, links, drawing.MARGIN + PAD, WIDTH - drawing.MARGIN - PAD, top + HEAD)
    end = max(one.bottom for floor in floors for one in floor) + PAD + 8
    parts = [
        f'<rect x="{drawing.MARGIN}" y="{top}" width="{WIDTH - 2 * drawing.MARGIN}" height="{end - top}" rx="8"'
        f' fill="{FRAME}" stroke="{drawing.LINE}"/>',
        drawing.text(drawing.MARGIN + PAD, top + 24, package, drawing.INK, drawing.BOLD),
        drawing.text(drawing.MARGIN + PAD, top + 41, _purpose(package), drawing.PALE, SMALL),
        *map(_arrow, ways(floors)),
        *(_box(one, own[one.name], words[one.name]) for floor in floors for one in floor if one.name),
    ]
    return parts, end


def _purpose(package: str) -> str:
    """What the first line of a package's docstring says after its name."""
    source = (ROOT / "src" / package / "__init__.py").read_text(encoding="utf-8")
    words = (ast.get_docstring(ast.parse(source)) or "").split("\n")[0].partition(": ")[2]
    return words[:1].upper() + words[1:]


def _words(room: Room, also: str) -> list[str]:
    """What a room imports of the other package, a line each."""
    return wrap(", ".join(room.imports_of(also)), 26) if also else []


def _width(room: Room, words: list[str]) -> int:
    heading = drawing.CELL * len(f"{room.label}{_count(room)}")
    return max([heading, *(SMALL_CELL * len(line) for line in words)]) + 2 * PAD


def _count(room: Room) -> str:
    return f"  {room.files} files" if room.is_package else ""


def _box(one: Place, room: Room, words: list[str]) -> str:
    stroke = 2 if room.is_package else 1
    return "".join([
        f'<rect x="{one.left}" y="{one.top}" width="{one.width}" height="{one.height}" rx="5" fill="{drawing.PAPER}"'
        f' stroke="{drawing.INK}" stroke-width="{stroke}"/>',
        drawing.text(one.left + PAD, one.top + 22, room.label, drawing.INK, drawing.BOLD),
        drawing.text(one.left + one.width - PAD, one.top + 22, _count(room).strip(), drawing.PALE, drawing.AT_END + SMALL),
        *(
            drawing.text(one.left + PAD, one.top + LETTERS + 4 + SMALL_ROW * number, line, drawing.PALE, SMALL)
            for number, line in enumerate(words)
        ),
    ])  # fmt: skip


def _arrow(points: list[tuple[int, int]]) -> str:
    """Straight down where the points come in pairs, in a curve between the pairs, with a head at the end."""
    (x, y), *rest = points
    route = f"M{x} {y}"
    for (from_x, from_y), (to_x, to_y) in zip(rest[::2], rest[1::2], strict=True):
        middle = (from_y + to_y) // 2
        route += f"V{from_y}C{from_x} {middle} {to_x} {middle} {to_x} {to_y}"
    x, y = points[-1]
    return (
        f'<path d="{route}" fill="none" stroke="{ARROW}" stroke-width="1.5"/>'
        f'<path d="M{x - 5} {y - 9}L{x} {y}L{x + 5} {y - 9}z" fill="{ARROW}"/>'
    )


def _between(top: int) -> list[str]:
    """The arrow from one frame to the other."""
    x, end = WIDTH // 2, top + BETWEEN
    return [
        f'<path d="M{x} {top}V{end - 14}" stroke="{drawing.INK}" stroke-width="5"/>',
        f'<path d="M{x - 12} {end - 18}L{x} {end}L{x + 12} {end - 18}z" fill="{drawing.INK}"/>',
        drawing.text(x + 22, top + BETWEEN // 2 + 4, "imports, and never the other way round", drawing.INK),
    ]


if __name__ == "__main__":
    raise SystemExit(main())
