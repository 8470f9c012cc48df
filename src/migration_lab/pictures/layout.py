"""Where the boxes of a schema's picture are, and which way the lines between them go."""

from __future__ import annotations

from dataclasses import dataclass

from .boxes import HEAD, ROW, Box, Edge
from .drawing import MARGIN

# Pixels.
GUTTER, GAP = 68, 26
WIDEST, TALLEST = 1240, 900


@dataclass(frozen=True)
class Place:
    """A box on the paper: in which band (from the top) and column (from the left) it is, and its rectangle."""

    box: Box
    band: int
    column: int
    x: int
    y: int
    width: int

    @property
    def bottom(self) -> int:
        return self.y + self.box.height

    def middle(self, name: str) -> int:
        """The height of a row's middle; the heading's, if there is no such row."""
        names = [row.name for row in self.box.rows]
        return self.y + (HEAD + ROW * names.index(name) + ROW // 2 if name in names else HEAD // 2)


def places(boxes: list[Box], edges: list[Edge]) -> list[Place]:
    """Columns of boxes, parents left of children, in bands where they are too wide; what has no foreign key, below."""
    links = [(edge.child, edge.parent) for edge in edges if edge.child != edge.parent]
    linked = {box.name: box for box in boxes if box.is_table and any(box.name in link for link in links)}
    shelf = [box for box in boxes if box not in linked.values()]
    layers = _by_closeness(_layers(list(linked), links), links)
    above = _bands([stack for layer in layers for stack in _stacks([linked[name] for name in layer], TALLEST)])
    below = _bands(_stacks(shelf, max([box.height for box in shelf], default=0)))
    found, top = [], MARGIN
    for number, band in enumerate(above + below):
        height, left = max(map(_height, band)), MARGIN
        for column, stack in enumerate(band):
            y = top + ((height - _height(stack)) // 2 if number < len(above) else 0)
            for box in stack:
                found.append(Place(box, number, column, left, y, _width(stack)))
                y += box.height + GAP
            left += _width(stack) + GUTTER
        top += height + 2 * GAP
    return found


def _layers(names: list[str], links: list[tuple[str, str]]) -> list[list[str]]:
    """Each table one layer after its farthest parent; a cycle begins at the table that waits for fewest."""
    parents = {name: {parent for child, parent in links if child == name} for name in names}
    depth: dict[str, int] = {}
    while waiting := [name for name in names if name not in depth]:
        ready = [name for name in waiting if parents[name] <= depth.keys()]
        for name in ready or [min(waiting, key=lambda name: len(parents[name] - depth.keys()))]:
            depth[name] = 1 + max((depth.get(parent, -1) for parent in parents[name]), default=-1)
    return [[name for name in names if depth[name] == layer] for layer in sorted(set(depth.values()))]


def _by_closeness(layers: list[list[str]], links: list[tuple[str, str]]) -> list[list[str]]:
    """Order each layer by where its relatives stand, there and back, so that fewer lines cross; near relatives first."""
    depth = {name: number for number, layer in enumerate(layers) for name in layer}
    relatives = {name: {one for link in links if name in link for one in link} - {name} for name in depth}
    for layer in (*layers, *layers[::-1], *layers):
        height = {name: (2 * at + 1) / len(other) for other in layers for at, name in enumerate(other)}
        middle = {name: sum(height[one] for one in sorted(relatives[name])) / len(relatives[name]) for name in layer}
        reach = {name: max(abs(depth[one] - depth[name]) for one in relatives[name]) for name in layer}
        layer.sort(key=lambda name: (round(middle[name], 6), reach[name], name))
    return layers


def _stacks(boxes: list[Box], limit: int) -> list[list[Box]]:
    """The boxes in their order, in as many columns as their height needs."""
    stacks: list[list[Box]] = []
    for box in boxes:
        if stacks and _height([*stacks[-1], box]) <= limit:
            stacks[-1].append(box)
        else:
            stacks.append([box])
    return stacks


def _bands(stacks: list[list[Box]]) -> list[list[list[Box]]]:
    """The columns in their order, in as many bands as their width needs."""
    bands: list[list[list[Box]]] = []
    for stack in stacks:
        if bands and sum(_width(other) + GUTTER for other in bands[-1]) + _width(stack) <= WIDEST:
            bands[-1].append(stack)
        else:
            bands.append([stack])
    return bands


def _height(stack: list[Box]) -> int:
    return sum(box.height for box in stack) + GAP * (len(stack) - 1)


def _width(stack: list[Box]) -> int:
    return max(box.width for box in stack)


Point = tuple[int, int]


def across(start: Point, end: Point, child: Place, parent: Place, places: list[Place], nudge: int) -> str:
    """Through one band: curves between the columns, and straight past each column where no box stands."""
    route = ""
    step = 1 if parent.column > child.column else -1
    for number in range(child.column + step, parent.column, step):
        column = [place for place in places if (place.band, place.column) == (child.band, number)]
        y = start[1]
        if any(place.y - 8 < y < place.bottom + 8 for place in column):
            gaps = [column[0].y - GAP // 2, *(place.bottom + GAP // 2 for place in column)]
            y = min(gaps, key=lambda gap: abs(gap - start[1])) + nudge % 4 * 4 - 6
        near, far = (column[0].x, column[0].x + column[0].width)[::step]
        route += f"{_curve(start, (near, y))}H{far}"
        start = far, y
    return route + _curve(start, end)


def _curve(start: Point, end: Point) -> str:
    middle = (start[0] + end[0]) // 2
    return f"C{middle} {start[1]} {middle} {end[1]} {end[0]} {end[1]}"


def around(start: Point, end: Point, band: int, to_band: int, places: list[Place], nudge: int) -> str:
    """From the left of a box through the gaps between bands to the right of another, with rounded corners."""
    aside = 14 + nudge % 5 * 2
    floors = [max(place.bottom for place in places if place.band == one) + aside for one in range(max(band, to_band))]
    up = to_band < band
    leave, arrive = floors[band - up], floors[to_band - (not up)]
    lane = [(aside // 2, leave), (aside // 2, arrive)] if leave != arrive else []
    out, into = start[0] - aside, end[0] + aside
    points = [start, (out, start[1]), (out, leave), *lane, (into, arrive), (into, end[1]), end]
    corners = [
        f"L{_towards(corner, before)}Q{corner[0]} {corner[1]} {_towards(corner, after)}"
        for before, corner, after in zip(points, points[1:], points[2:], strict=False)
    ]
    return f"{''.join(corners)}L{end[0]} {end[1]}"


def _towards(corner: Point, point: Point) -> str:
    """Six pixels from the corner on the way to the point, which is straight across or straight up or down."""
    return " ".join(str(here + max(-6, min(6, there - here))) for here, there in zip(corner, point, strict=True))
