"""Place boxes on floors, each box above those that it leads to, and find the way of each line between them.

A line that passes a floor has a place of its own there, between the boxes, so that it crosses none of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

# Pixels: between two boxes of a floor, between two floors, and the width of a line's place.
GAP, AISLE, LINE = 26, 40, 10
ROUNDS = 60  # of which each brings the places nearer to those that they have lines to


@dataclass(eq=False)  # two lines that pass at the same height are still two
class Place:
    """A box, or where a line passes a floor (then ``name`` is None).

    ``above`` and ``below`` are the places to which it has lines. :func:`place` sets the rest: ``floor`` is where the floor
    ends, below the highest of its boxes.
    """

    name: str | None
    width: int
    height: int
    above: list[Place] = field(default_factory=list)
    below: list[Place] = field(default_factory=list)
    middle: float = 0
    top: int = 0
    floor: int = 0

    @property
    def left(self) -> int:
        return round(self.middle) - self.width // 2

    @property
    def bottom(self) -> int:
        return self.top + self.height

    def door(self, other: Place) -> int:
        """Where on the side that looks at ``other`` a line to it begins: lines to several go side by side."""
        if self.name is None:
            return round(self.middle)
        side = sorted(self.below if other in self.below else self.above, key=lambda one: one.middle)
        step = min(22, (self.width - 24) // max(1, len(side) - 1))
        return round(self.middle + (side.index(other) - (len(side) - 1) / 2) * step)


def place(
    sizes: dict[str, tuple[int, int]], links: dict[str, list[str]], left: int, right: int, top: int
) -> list[list[Place]]:
    """The floors from the top, each from left to right, between two edges; ``links`` lead from box to box, in no circle."""
    floors = _floors(sizes, links)
    for number in range(ROUNDS):
        for floor in floors if number % 2 else reversed(floors):
            _order(floor, downwards=bool(number % 2))
    for floor in floors:
        for at, one in enumerate(floor):
            one.middle = left + (right - left) * (at + 1) / (len(floor) + 1)
    for number in range(ROUNDS):
        for floor in floors if number % 2 else reversed(floors):
            _spread(floor, left, right)
    every = [one for floor in floors for one in floor]
    aside = (left + right - min(one.left for one in every) - max(one.left + one.width for one in every)) // 2
    for floor in floors:
        for one in floor:
            one.middle += aside
            one.top = top
        height = max(one.height for one in floor)
        for one in floor:
            one.floor = top + height
            one.height = one.height or height
        top += height + AISLE
    return floors


def ways(floors: list[list[Place]]) -> Iterator[list[tuple[int, int]]]:
    """Each line's points: straight down from a box's door and past floors, and across to the next in between."""
    for floor in floors:
        for start in floor:
            for one in start.below if start.name else ():
                points, here, there = [(start.door(one), start.bottom)], start, one
                while True:
                    points += [(here.door(there), here.floor), (there.door(here), there.top)]
                    if there.name:
                        break
                    here, there = there, there.below[0]
                yield points


def _floors(sizes: dict[str, tuple[int, int]], links: dict[str, list[str]]) -> list[list[Place]]:
    """Every box as high above the ground as its longest way down, and a place on each floor that a line passes."""

    def height(name: str) -> int:
        return max((height(other) + 1 for other in links[name]), default=0)

    heights = {name: height(name) for name in sizes}
    places = {name: Place(name, *sizes[name]) for name in sizes}
    floors: list[list[Place]] = [[] for _ in range(max(heights.values()) + 1)]
    for name, box in places.items():
        floors[heights[name]].append(box)
    for name, box in places.items():
        for other in links[name]:
            stops = [box, *(Place(None, LINE, 0) for _ in range(heights[name] - heights[other] - 1)), places[other]]
            for number, stop in zip(range(heights[name] - 1, heights[other], -1), stops[1:-1], strict=True):
                floors[number].append(stop)
            for upper, lower in pairwise(stops):
                upper.below.append(lower)
                lower.above.append(upper)
    for floor in floors:
        for at, one in enumerate(floor):
            one.middle = at
    return floors[::-1]


def _order(floor: list[Place], downwards: bool) -> None:
    """Put each place where those are to which it has lines from one side, so that fewer lines cross."""

    def wanted(one: Place) -> float:
        others = one.above if downwards else one.below
        return sum(other.middle for other in others) / len(others) if others else one.middle

    floor.sort(key=wanted)
    for at, one in enumerate(floor):
        one.middle = at - len(floor) / 2


def _spread(floor: list[Place], left: int, right: int) -> None:
    """Move each place to the middle of those to which it has lines, in the same order, with room for all.

    What would overlap is moved as one block to the mean of what its places want (isotonic regression).
    """
    offsets = [0.0]
    for one, other in pairwise(floor):
        offsets.append(offsets[-1] + (one.width + other.width) / 2 + GAP)
    blocks: list[list[float]] = []
    for one, offset in zip(floor, offsets, strict=True):
        near = [other.middle for other in one.above + one.below for _ in range(_pull(one, other))] or [one.middle]
        blocks.append([sum(near) / len(near) - offset])
        while len(blocks) > 1 and _mean(blocks[-2]) > _mean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    least, most = left + floor[0].width / 2, right - floor[-1].width / 2 - offsets[-1]
    wanted = [max(least, min(most, _mean(block))) for block in blocks for _ in block]
    for one, offset, start in zip(floor, offsets, wanted, strict=True):
        one.middle = start + offset


def _pull(one: Place, other: Place) -> int:
    """How strongly a line draws its ends together: most of all within a long line, which is straight then."""
    return {0: 1, 1: 2, 2: 8}[(one.name is None) + (other.name is None)]


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)
