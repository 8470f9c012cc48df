"""A schema as a picture: an entity-relationship diagram as SVG in a notebook, the same as text in a terminal.

>>> print(Diagram(snapshot(connection), before=earlier))
users (~ changed)
  id     integer      PK NN
+ phone  varchar(20)
Changes:
+ column users.phone was added: character varying(20), nullable

Parents stand to the left of their children. A change is told by a sign and a word, and by colour only besides. The same
schemas give the same bytes on every machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from textwrap import wrap
from typing import Any
from xml.sax.saxutils import escape

from .changes import diff
from .drawing import AT_END, BOLD, CELL, GONE, INK, LINE, MARGIN, PALE, PAPER, cells, padded, svg, text, visible
from .schema import Column, Constraint, Schema, Table, Type

EMPTY = "There are no tables yet."
SIGNS = {"added": "+", "removed": "-", "changed": "~", "": " "}

# The long names of https://www.postgresql.org/docs/18/datatype.html and their aliases.
SHORT_TYPES = {
    r"\bcharacter varying\b": "varchar",
    r"\bcharacter\b": "char",
    r"\bbit varying\b": "varbit",
    r"\b(timestamp|time)(\(\d\))? without time zone\b": r"\1\2",
    r"\b(timestamp|time)(\(\d\))? with time zone\b": r"\1tz\2",
}


class Diagram:
    """The picture of a schema, and with ``before``, an earlier one of the same database, of what changed since."""

    def __init__(self, schema: Schema, before: Schema | None = None):
        before = before or schema
        self.boxes = [
            *_tables(before.tables, schema.tables),
            *_tables(before.views, schema.views),
            *_types(before, schema),
        ]
        self.edges = list(_edges(before.tables, schema.tables))
        self.changes = [Line(change.kind, visible(str(change))) for change in diff(before, schema)]
        self.title = f"Schema: {_count(len(schema.tables), 'table')}, {_count(len(self.changes), 'change')}"

    def __repr__(self) -> str:
        names, types = _widths([row for box in self.boxes for row in box.rows if row.type], "name", "type")
        lines = [] if self.boxes else [EMPTY]
        for box in self.boxes:
            notes = ", ".join(filter(None, [box.kind, f"{SIGNS[box.change]} {box.change}".strip()]))
            lines.append(f"{box.name} ({notes})" if notes else box.name)
            lines += [
                f"{SIGNS[row.change]} {padded(row.name, names)}  {padded(row.type, types)}  {row.notes}".rstrip()
                for row in box.rows
            ]
        return "\n".join([*lines, *["Changes:"][: len(self.changes)], *map(str, self.changes)])

    def _repr_svg_(self) -> str:
        return _svg(self)


@dataclass(frozen=True)
class Row:
    """A line of a box: a column, or an enum's label; ``notes`` say at length in the text what ``marks`` do in the picture.

    ``change`` is 'added', 'removed', 'changed' or '', as in a Box, an Edge and a Line.
    """

    name: str
    type: str = ""
    marks: str = ""
    notes: str = ""
    column: Column | None = None
    change: str = field(default="", compare=False)


@dataclass(frozen=True)
class Box:
    """A table (its ``kind`` is '', or 'partition', say), a view or a type."""

    name: str
    kind: str
    change: str
    rows: tuple[Row, ...]
    is_table: bool

    @property
    def width(self) -> int:
        """The heading's, or that of the widest name, type and marks side by side."""
        heading = cells(self.name) + 2 + len(f"{self.kind} {self.change}")
        row = sum(widest + 2 for widest in _widths(self.rows, "name", "type", "marks") if widest) - 2
        return max(heading, row) * CELL + INDENT + PAD

    @property
    def height(self) -> int:
        return HEAD + ROW * len(self.rows) + FOOT


@dataclass(frozen=True)
class Edge:
    """A foreign key, from the child's first column to the one that it refers to."""

    child: str
    child_row: str
    parent: str
    parent_row: str
    action: str
    validated: bool
    change: str

    def __str__(self) -> str:
        columns = f"{self.child}.{self.child_row} → {self.parent}.{self.parent_row}"
        return ", ".join(filter(None, [columns, self.action, self.change]))


@dataclass(frozen=True)
class Line:
    """A change in a sentence."""

    change: str
    sentence: str

    def __str__(self) -> str:
        return f"{SIGNS[self.change]} {self.sentence}"


# --- What there is to draw --------------------------------------------------------------------------------------------


def _merged(before: dict[str, Any], after: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """What became of each, what it was, what it is: in today's order, and what is gone where it was."""
    names = list(after)
    for previous, name in zip([None, *before], before, strict=False):
        if name not in after:
            names.insert(0 if previous is None else names.index(previous) + 1, name)
    for name in names:
        was, now = before.get(name), after.get(name)
        yield "added" if was is None else "removed" if now is None else "changed" if was != now else "", was, now


def _tables(before: dict[str, Table], after: dict[str, Table]) -> Iterator[Box]:
    """Tables or views."""
    for change, was, now in _merged(before, after):
        table = now or was
        kind = "" if table.kind == "table" else table.kind
        yield Box(visible(table.name), kind, change, _rows(_columns(was), _columns(now)), table.definition is None)


def _types(before: Schema, after: Schema) -> Iterator[Box]:
    for change, was, now in _merged(before.types, after.types):
        type_ = now or was
        yield Box(visible(type_.name), type_.kind, change, _rows(_labels(was), _labels(now)), False)


def _rows(before: dict[str, Row], after: dict[str, Row]) -> tuple[Row, ...]:
    return tuple(replace(now or was, change=change) for change, was, now in _merged(before, after))


def _labels(type_: Type | None) -> dict[str, Row]:
    """An enum's labels; of another type, its definition."""
    lines = () if type_ is None else type_.labels or wrap(type_.definition or "", 40)
    return {line: Row(visible(line)) for line in lines}


def _columns(table: Table | None) -> dict[str, Row]:
    """A table's columns; of a partition, which has its parent's, what it is a partition of."""
    if table is None:
        return {}
    if table.kind == "partition":
        return {setting: Row(visible(setting)) for setting in table.settings}
    return {name: _column(table, column) for name, column in table.columns.items()}


def _column(table: Table, column: Column) -> Row:
    keys = [key for key in table.constraints.values() if column.name in key.columns]
    primary = any(key.kind == "primary key" for key in keys)
    alone = any(
        index.unique and index.valid and index.predicate is None and index.columns == (column.name,)
        for index in table.indexes.values()
    )
    marks = ["PK"] * primary + ["UQ"] * (alone and not primary) + ["NN"] * (not column.nullable)
    foreign = [key for key in keys if key.kind == "foreign key"]
    return Row(
        visible(column.name),
        visible(_short(column.type)),
        " ".join(marks + [f"FK {key.on_delete.lower()}".removesuffix(" no action") for key in foreign[:1]]),
        " ".join(marks + [f"FK -> {_target(key, column.name)} {_action(key)}".strip() for key in foreign]),
        column,
    )


def _target(key: Constraint, column: str) -> str:
    return visible(f"{key.referred_table}.{key.referred_columns[key.columns.index(column)]}")


def _action(key: Constraint) -> str:
    action = "" if key.on_delete == "NO ACTION" else f"ON DELETE {key.on_delete}"
    return f"{action} {'' if key.validated else 'NOT VALID'}".strip()


def _edges(before: dict[str, Table], after: dict[str, Table]) -> Iterator[Edge]:
    """The foreign keys, but for those that a partition has from its parent."""
    for _, *tables in _merged(before, after):
        for change, was, now in _merged(*(table.constraints if table else {} for table in tables)):
            table, key = tables[1] or tables[0], now or was
            if key.kind == "foreign key" and table.kind != "partition":
                child, parent = (table.name, key.columns[0]), (key.referred_table, key.referred_columns[0])
                yield Edge(*map(visible, child + parent), _action(key), key.validated, change)


def _short(type_: str) -> str:
    for long, short in SHORT_TYPES.items():
        type_ = re.sub(long, short, type_)
    return type_


def _widths(rows, *attributes: str) -> list[int]:
    return [max((cells(getattr(row, attribute)) for row in rows), default=0) for attribute in attributes]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


# --- Where it stands --------------------------------------------------------------------------------------------------

# Pixels.
HEAD, ROW, FOOT, PAD, INDENT = 26, 20, 4, 10, 26
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


def _places(boxes: list[Box], edges: list[Edge]) -> list[Place]:
    """Columns of boxes, parents left of children, in bands where they are too wide; what has no foreign key, below."""
    links = [(edge.child, edge.parent) for edge in edges if edge.child != edge.parent]
    linked = {box.name: box for box in boxes if box.is_table and any(box.name in link for link in links)}
    shelf = [box for box in boxes if box not in linked.values()]
    layers = _by_closeness(_layers(list(linked), links), links)
    above = _bands([stack for layer in layers for stack in _stacks([linked[name] for name in layer], TALLEST)])
    below = _bands(_stacks(shelf, max([box.height for box in shelf], default=0)))
    places, top = [], MARGIN
    for number, band in enumerate(above + below):
        height, left = max(map(_height, band)), MARGIN
        for column, stack in enumerate(band):
            y = top + ((height - _height(stack)) // 2 if number < len(above) else 0)
            for box in stack:
                places.append(Place(box, number, column, left, y, _width(stack)))
                y += box.height + GAP
            left += _width(stack) + GUTTER
        top += height + 2 * GAP
    return places


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


# --- How it looks -----------------------------------------------------------------------------------------------------

# Light fills under dark text, and three hues that any colour vision tells apart: blue, orange, yellow.
STRONG = {"added": "#0b57a4", "removed": "#a83a00", "changed": "#7a5b00", "": "#30475e"}
FILLS = {"added": "#dbeafe", "removed": "#ffe1d3", "changed": "#fff3bf", "": PAPER}
DOTTED, DASHED = ' stroke-dasharray="1 3"', ' stroke-dasharray="6 4"'
INDENTED = "\N{NO-BREAK SPACE}" * 2  # browsers take other spaces off a text's beginning


def _svg(diagram: Diagram) -> str:
    places = _places(diagram.boxes, diagram.edges)
    tables = {place.box.name: place for place in places if place.box.is_table}
    edges = [edge for edge in diagram.edges if edge.parent in tables]
    narrowest = 640 if diagram.changes else CELL * len(EMPTY) + MARGIN
    width = max([place.x + place.width for place in places] + [narrowest]) + MARGIN
    below = max([place.bottom for place in places], default=0) + MARGIN
    lines = [(EMPTY, INK)] if not places else []
    for change in diagram.changes:
        told = f"{_sign(change.change)} {change.sentence}"
        wrapped = wrap(told, (width - 2 * MARGIN) // CELL, subsequent_indent=INDENTED)
        lines += [(line, STRONG[change.change]) for line in wrapped]
    height = below + (ROW * len(lines) + MARGIN // 2 if lines else 0)
    parts = [
        *(_edge(edge, tables[edge.child], tables[edge.parent], places, nudge) for nudge, edge in enumerate(edges)),
        *map(_box, places),
        *(text(MARGIN, below + ROW * number, *line) for number, line in enumerate(lines, 1)),
    ]
    return svg(width, height, diagram.title, str(diagram), parts)


def _box(place: Place) -> str:
    box, x, y, width = place.box, place.x, place.y, place.width
    head = STRONG[box.change] if box.change or box.is_table else PALE
    parts = [
        f'<rect x="{x}" y="{y}" width="{width}" height="{box.height}" rx="5" fill="{PAPER}" stroke="{head}"/>',
        f'<path d="M{x} {y + HEAD}v{5 - HEAD}q0 -5 5 -5h{width - 10}q5 0 5 5v{HEAD - 5}z" fill="{head}"/>',
        text(x + PAD, y + 18, _sign(box.change), PAPER, BOLD),
        text(x + INDENT, y + 18, box.name, PAPER, BOLD),
        text(x + width - PAD, y + 18, f"{box.kind} {box.change}".strip(), PAPER, AT_END),
    ]
    types = x + INDENT + CELL * (_widths(box.rows, "name")[0] + 2)
    for number, row in enumerate(box.rows):
        top = y + HEAD + ROW * number
        gone, ink = (GONE, PALE) if row.change == "removed" else ("", INK)
        if row.change:
            parts.append(f'<rect x="{x + 1}" y="{top}" width="{width - 2}" height="{ROW}" fill="{FILLS[row.change]}"/>')
        parts += [
            text(x + PAD, top + 15, _sign(row.change), STRONG[row.change], BOLD),
            text(x + INDENT, top + 15, row.name, ink, gone),
            text(types, top + 15, row.type, PALE, gone),
            text(x + width - PAD, top + 15, row.marks, PALE, AT_END),
        ]
    return "".join(parts)


def _sign(change: str) -> str:
    return SIGNS[change].strip().replace("-", "−")


def _edge(edge: Edge, child: Place, parent: Place, places: list[Place], nudge: int) -> str:
    """A line from a crow's foot at the child's row to a bar at the parent's; dashed if NOT VALID, dotted if removed."""
    aside = 5 * (edge.change == "removed")  # its successor often joins the same rows
    start, end = child.middle(edge.child_row) + aside, parent.middle(edge.parent_row) + aside
    out = -1 if child.band != parent.band or parent.column < child.column else 1  # the child's side that it leaves
    into = 1 if child.band != parent.band or parent.column <= child.column else -1  # the parent's side that it reaches
    here, there = (place.x + place.width * (side > 0) for place, side in ((child, out), (parent, into)))
    if child.band != parent.band:
        route = _around((here, start), (there, end), child.band, parent.band, places, nudge)
    elif child.column == parent.column:
        end += 8 * (start == end)  # a column that refers to itself
        route = f"C{here + 30} {start} {here + 30} {end} {there} {end}"
    else:
        route = _across((here, start), (there, end), child, parent, places, nudge)
    foot = f"M{here} {start - 5}L{here + 10 * out} {start}L{here} {start + 5}M{there + 6 * into} {end - 5}v10"
    dash = DOTTED if edge.change == "removed" else "" if edge.validated else DASHED
    return (
        f'<g fill="none" stroke="{STRONG[edge.change] if edge.change else LINE}" stroke-width="1.5">'
        f'<title>{escape(str(edge))}</title><path d="M{here} {start}{route}"{dash}/><path d="{foot}"/></g>'
    )


Point = tuple[int, int]


def _across(start: Point, end: Point, child: Place, parent: Place, places: list[Place], nudge: int) -> str:
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


def _around(start: Point, end: Point, band: int, to_band: int, places: list[Place], nudge: int) -> str:
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
