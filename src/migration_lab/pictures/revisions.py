"""A project's revisions as a graph: as SVG in a notebook, as text in a terminal; newest first, as `alembic history` has them.

>>> print(Graph([Revision("0001_users", "Add users"), Revision("0002_city", "Add a city", ("0001_users",))], {"0001_users"}))
○ 0002_city  ← 0001_users  Add a city  (head)
● 0001_users               Add users  (the database is here)

A filled mark is a revision that the database has, an empty one a revision that it has not.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import to_tuple

from migration_lab.learner import Opened, versions
from migration_xray.command import at_home, explained
from migration_xray.markup import image, words_below
from migration_xray.words import listed

from .drawing import BOLD, CELL, INK, LINE, MARGIN, PALE, PAPER, cells, padded, svg, text, visible

EMPTY = "There are no revisions yet."
STEP, LANE, DOT = 34, 22, 6  # pixels: from row to row, from lane to lane, and a mark's radius


@dataclass(frozen=True)
class Revision:
    """A revision: ``down`` are those that it follows, ``needs`` those that it depends on besides.

    https://alembic.sqlalchemy.org/en/latest/branches.html
    """

    id: str
    doc: str = ""
    down: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


def revision_graph(opened: Opened) -> Graph:
    """The revisions of the place that is open, and where its database stands.

    Raises AlembicError where the project's files can't be read as one graph.
    """
    return Graph(revisions(opened.project), set(versions(opened.server, opened.database)))


def revisions(project: Path) -> list[Revision]:
    """The revisions of an Alembic project. Raises AlembicError where its files can't be read as one graph."""
    try:
        with at_home(project, ["history"]):
            scripts = list(ScriptDirectory.from_config(Config("alembic.ini")).walk_revisions())
    except Exception as error:
        raise explained(error, project) from None
    return [
        Revision(
            script.revision,
            script.doc.splitlines()[0] if script.doc else "",
            to_tuple(script.down_revision, default=()),
            tuple(sorted(script._normalized_resolved_dependencies)),
            tuple(sorted(script.branch_labels)),
        )
        for script in scripts
    ]


class Graph:
    """The picture of revisions; ``here`` is what stands in the database's alembic_version."""

    def __init__(self, revisions: Iterable[Revision], here: Set[str] = frozenset()):
        self.rows = _newest_first({revision.id: revision for revision in revisions})
        self.here = here
        known = {row.id: row for row in self.rows}
        self.lost = sorted(here - known.keys())
        self.heads = known.keys() - {one for row in self.rows for one in row.down}
        self.applied: set[str] = set()
        waiting = [one for one in here if one in known]
        while waiting:
            one = waiting.pop()
            if one not in self.applied:
                self.applied.add(one)
                waiting += [*known[one].down, *known[one].needs]

    def __repr__(self) -> str:
        arrows = {row.id: _arrow(row) for row in self.rows}
        names, widest = (max(map(cells, words), default=0) for words in (arrows, arrows.values()))
        lines = [
            f"{'●' if row.id in self.applied else '○'} {padded(visible(row.id), names)}  {padded(arrows[row.id], widest)}  "
            + "  ".join(filter(None, [visible(row.doc), self._notes(row)]))
            for row in self.rows
        ]
        return "\n".join([*(line.rstrip() for line in lines or [EMPTY]), *self._below()])

    def _repr_html_(self) -> str:
        return image(self.svg(), self.alt) + words_below("graph", repr(self))

    @property
    def alt(self) -> str:
        """What the picture shows, in a sentence or two; its text tells all of it."""
        ids = [visible(row.id) for row in self.rows]
        if not ids:
            return EMPTY
        heads = listed(one for one in ids if one in self.heads)
        here = (
            f"The database is at {listed(map(visible, sorted(self.here)))}." if self.here else "The database has none."
        )
        count = f"{len(ids)} revision{'s' * (len(ids) > 1)}"
        return f"Graph of {count}, the newest first: {listed(ids)}. Head: {heads}. {here}"

    def svg(self) -> str:
        lanes, roads = _lanes(self.rows)
        left = MARGIN + LANE * (max(lanes.values(), default=0) + 1) + DOT
        right = [(visible(row.id), f"{visible(row.doc)}  {self._notes(row)}".strip()) for row in self.rows]
        docs = left + CELL * (max((cells(name) for name, _ in right), default=0) + 2)
        below = self._below() if self.rows else [EMPTY, *self._below()]
        width = (
            max([docs + CELL * cells(doc) for _, doc in right] + [MARGIN + CELL * cells(line) for line in below])
            + MARGIN
        )
        height = STEP * (len(self.rows) + len(below)) + MARGIN
        middle = {row.id: MARGIN // 2 + STEP * number + STEP // 2 for number, row in enumerate(self.rows)}
        at = {one: (MARGIN + DOT + LANE * lanes[one], middle[one]) for one in middle}
        parts = [
            _road(at[child], at[parent], MARGIN + DOT + LANE * lane, dashed) for child, parent, lane, dashed in roads
        ]
        for row, (name, doc) in zip(self.rows, right, strict=True):
            x, y = at[row.id]
            fill = INK if row.id in self.applied else PAPER
            parts += [
                f'<circle cx="{x}" cy="{y}" r="{DOT}" fill="{fill}" stroke="{INK}" stroke-width="2"/>',
                text(left, y + 5, name, INK, BOLD),
                text(docs, y + 5, doc, PALE),
            ]
        parts += [
            text(MARGIN, STEP * (len(self.rows) + number) + STEP // 2 + 12, line, INK)
            for number, line in enumerate(below)
        ]
        return svg(width, height, f"Revisions: {len(self.rows)}, with {len(self.heads)} at the head", repr(self), parts)

    def _notes(self, row: Revision) -> str:
        notes = [*row.labels, *["head"] * (row.id in self.heads), *["the database is here"] * (row.id in self.here)]
        return f"({', '.join(map(visible, notes))})" if notes else ""

    def _below(self) -> list[str]:
        """What the picture can't show."""
        return [f"The database is at {visible(one)}, of which this project has no file." for one in self.lost]


def _arrow(row: Revision) -> str:
    follows = f"← {', '.join(row.down)}" if row.down else ""
    needs = f"needs {', '.join(row.needs)}" if row.needs else ""
    return visible(", ".join(filter(None, [follows, needs])))


def _newest_first(known: dict[str, Revision]) -> list[Revision]:
    """Each revision above those that it follows, a branch in one piece where that can be; the same order every time."""
    above = {one: {other.id for other in known.values() if one in (*other.down, *other.needs)} for one in known}
    rows: list[Revision] = []
    while len(rows) < len(known):
        placed = {row.id for row in rows}
        ready = [one for one in sorted(known) if one not in placed and above[one] <= placed]
        onward = [one for one in ready if rows and one in rows[-1].down]
        rows.append(known[(onward or ready)[-1]])
    return rows


Road = tuple[str, str, int, bool]
Point = tuple[int, int]


def _lanes(rows: list[Revision]) -> tuple[dict[str, int], list[Road]]:
    """In which lane each revision stands, and the roads: from a revision to one below, in a lane, dashed for a need."""
    expected: list[str | None] = []  # by lane, the revision that its road leads to
    lanes: dict[str, int] = {}
    roads: list[Road] = []

    def free() -> int:
        if None not in expected:
            expected.append(None)
        return expected.index(None)

    for row in rows:
        mine = expected.index(row.id) if row.id in expected else free()
        lanes[row.id] = mine
        expected[:] = [None if one == row.id else one for one in expected]
        for number, parent in enumerate((*row.down, *row.needs)):
            lane = mine if number == 0 else free()
            expected[lane] = parent
            roads.append((row.id, parent, lane, parent in row.needs))
    return lanes, roads


def _road(start: Point, end: Point, x: int, dashed: bool) -> str:
    """From a mark into the lane at ``x``, down it, and out of it to another mark."""
    points = [start, end] if end[1] - start[1] == STEP else [start, (x, start[1] + STEP), (x, end[1] - STEP), end]
    path = ""
    for (from_x, from_y), (to_x, to_y) in pairwise(points):
        middle = (from_y + to_y) // 2
        path += f"C{from_x} {middle} {to_x} {middle} {to_x} {to_y}"
    dash = ' stroke-dasharray="4 3"' if dashed else ""
    return f'<path d="M{start[0]} {start[1]}{path}" fill="none" stroke="{LINE}" stroke-width="2"{dash}/>'
