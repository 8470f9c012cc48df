"""A schema as a picture: an entity-relationship diagram as SVG in a notebook, the same as text in a terminal.

>>> print(Diagram(snapshot(connection), before=earlier))
users (~ changed)
  id     integer      PK NN
+ phone  varchar(20)
Changes:
+ column users.phone was added: character varying(20), nullable

Parents are to the left of their children. A sign and a word show each change; colour only repeats it. The same schemas give
the same bytes on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import wrap
from typing import Any
from xml.sax.saxutils import escape

from migration_lab.learner import Opened
from migration_xray.markup import image, words_below
from migration_xray.words import listed

from .boxes import HEAD, INDENT, PAD, ROW, Edge, boxes, edges, widths
from .catalogs import snapshot
from .changes import diff
from .drawing import AT_END, BOLD, CELL, GONE, INK, LINE, MARGIN, PALE, PAPER, padded, svg, text, visible
from .layout import Place, across, around, places
from .schema import Schema

EMPTY = "There are no tables yet."
SIGNS = {"added": "+", "removed": "-", "changed": "~", "": " "}


def schema_diagram(opened: Opened) -> Diagram:
    """The picture of the schema of the place that is open, with what changed since the last look marked.

    The first look after opening or resetting marks nothing.
    """
    with opened.server.connect(opened.database) as session:
        session.execute("SET lock_timeout = '2s'")  # a transaction left open may hold a table for ever
        now = snapshot(session)
        # A reset makes another database of the same name: a look at the earlier one is no look at this.
        [(oid,)] = session.execute("SELECT oid FROM pg_database WHERE datname = current_database()")
        born = str(oid)
    file = f"look-{opened.place.place}.json"
    last: dict[str, Any] = opened.workspace.read_json(file, {})
    opened.workspace.write_json(file, {"database": born, "schema": now.to_dict()})
    before = Schema.from_dict(last["schema"]) if last.get("database") == born else None
    return Diagram(now, before)


class Diagram:
    """The picture of a schema, and with ``before``, an earlier one of the same database, of what changed since."""

    def __init__(self, schema: Schema, before: Schema | None = None):
        before = before or schema
        self.boxes = boxes(before, schema)
        self.edges = list(edges(before, schema))
        self.changes = [Line(change.kind, visible(str(change))) for change in diff(before, schema)]
        self.title = f"Schema: {_count(len(schema.tables), 'table')}, {_count(len(self.changes), 'change')}"

    def __repr__(self) -> str:
        names, types = widths([row for box in self.boxes for row in box.rows if row.type], "name", "type")
        lines = [] if self.boxes else [EMPTY]
        for box in self.boxes:
            notes = ", ".join(filter(None, [box.kind, f"{SIGNS[box.change]} {box.change}".strip()]))
            lines.append(f"{box.name} ({notes})" if notes else box.name)
            lines += [
                f"{SIGNS[row.change]} {padded(row.name, names)}  {padded(row.type, types)}  {row.notes}".rstrip()
                for row in box.rows
            ]
        return "\n".join([*lines, *["Changes:"][: len(self.changes)], *map(str, self.changes)])

    def _repr_html_(self) -> str:
        return image(self.svg(), self.alt) + words_below("diagram", repr(self))

    def svg(self) -> str:
        return _svg(self)

    @property
    def alt(self) -> str:
        """What the picture shows, in a sentence or two; its text tells all of it."""
        tables = [box.name for box in self.boxes if box.is_table and box.change != "removed"]
        words = f"Diagram of {_count(len(tables), 'table')}{f': {listed(tables)}' if tables else ''}."
        changes = "; ".join(change.sentence for change in self.changes)
        return f"{words} Changed since the last look: {changes}." if changes else words


@dataclass(frozen=True)
class Line:
    """A change in a sentence."""

    change: str
    sentence: str

    def __str__(self) -> str:
        return f"{SIGNS[self.change]} {self.sentence}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


# Light fills under dark text, and three hues that any colour vision tells apart: blue, orange, yellow.
STRONG = {"added": "#0b57a4", "removed": "#a83a00", "changed": "#7a5b00", "": "#30475e"}
FILLS = {"added": "#dbeafe", "removed": "#ffe1d3", "changed": "#fff3bf", "": PAPER}
DOTTED, DASHED = ' stroke-dasharray="1 3"', ' stroke-dasharray="6 4"'
INDENTED = "\N{NO-BREAK SPACE}" * 2  # browsers take other spaces off a text's beginning


def _svg(diagram: Diagram) -> str:
    placed = places(diagram.boxes, diagram.edges)
    tables = {place.box.name: place for place in placed if place.box.is_table}
    drawn = [edge for edge in diagram.edges if edge.parent in tables]
    narrowest = 640 if diagram.changes else CELL * len(EMPTY) + MARGIN
    width = max([place.x + place.width for place in placed] + [narrowest]) + MARGIN
    below = max([place.bottom for place in placed], default=0) + MARGIN
    lines = [(EMPTY, INK)] if not placed else []
    for change in diagram.changes:
        told = f"{_sign(change.change)} {change.sentence}"
        wrapped = wrap(told, (width - 2 * MARGIN) // CELL, subsequent_indent=INDENTED)
        lines += [(line, STRONG[change.change]) for line in wrapped]
    height = below + (ROW * len(lines) + MARGIN // 2 if lines else 0)
    parts = [
        *(_edge(edge, tables[edge.child], tables[edge.parent], placed, nudge) for nudge, edge in enumerate(drawn)),
        *map(_box, placed),
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
    types = x + INDENT + CELL * (widths(box.rows, "name")[0] + 2)
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


def _edge(edge: Edge, child: Place, parent: Place, placed: list[Place], nudge: int) -> str:
    """A line from a crow's foot at the child's row to a bar at the parent's; dashed if NOT VALID, dotted if removed."""
    aside = 5 * (edge.change == "removed")  # its successor often joins the same rows
    start, end = child.middle(edge.child_row) + aside, parent.middle(edge.parent_row) + aside
    out = -1 if child.band != parent.band or parent.column < child.column else 1  # the child's side that it leaves
    into = 1 if child.band != parent.band or parent.column <= child.column else -1  # the parent's side that it reaches
    here, there = (place.x + place.width * (side > 0) for place, side in ((child, out), (parent, into)))
    if child.band != parent.band:
        route = around((here, start), (there, end), child.band, parent.band, placed, nudge)
    elif child.column == parent.column:
        end += 8 * (start == end)  # a column that refers to itself
        route = f"C{here + 30} {start} {here + 30} {end} {there} {end}"
    else:
        route = across((here, start), (there, end), child, parent, placed, nudge)
    foot = f"M{here} {start - 5}L{here + 10 * out} {start}L{here} {start + 5}M{there + 6 * into} {end - 5}v10"
    dash = DOTTED if edge.change == "removed" else "" if edge.validated else DASHED
    return (
        f'<g fill="none" stroke="{STRONG[edge.change] if edge.change else LINE}" stroke-width="1.5">'
        f'<title>{escape(str(edge))}</title><path d="M{here} {start}{route}"{dash}/><path d="{foot}"/></g>'
    )
