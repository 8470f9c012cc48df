"""The graph of revisions: every revision and every road between them, and where the database stands.

Whoever merges two heads by a wrong picture merges the wrong ones.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from migration_lab.cli import main
from migration_lab.course.manifest import find_lesson
from migration_lab.learner import lesson
from migration_lab.pictures.revisions import EMPTY, Graph, Revision, revision_graph
from migration_xray.errors import UserError

SVG = "{http://www.w3.org/2000/svg}"
TWO_HEADS = [
    Revision("0001", "Add users"),
    Revision("0002a", "Add a phone", ("0001",)),
    Revision("0002b", "Add a city", ("0001",)),
    Revision("0003b", "Index the cities", ("0002b",)),
]
MERGED = [
    *TWO_HEADS,
    Revision("0004", "Merge", ("0002a", "0003b")),
    Revision("9001", "Apart", (), ("0002a",), ("other",)),
]


def parts(graph: Graph, tag: str) -> list[ElementTree.Element]:
    return ElementTree.fromstring(graph.svg()).findall(f"{SVG}{tag}")


def ends(path: ElementTree.Element) -> tuple[tuple[str, str], tuple[str, str]]:
    numbers = re.findall(r"\d+", path.get("d"))
    return tuple(numbers[:2]), tuple(numbers[-2:])


def test_in_words_it_says_all_that_the_picture_shows():
    assert str(Graph(MERGED, {"0002a"})).splitlines() == [
        "○ 9001   needs 0002a     Apart  (other, head)",
        "○ 0004   ← 0002a, 0003b  Merge  (head)",
        "○ 0003b  ← 0002b         Index the cities",
        "○ 0002b  ← 0001          Add a city",
        "● 0002a  ← 0001          Add a phone  (the database is here)",
        "● 0001                   Add users",
    ]


def test_a_road_leads_from_each_revision_to_those_that_it_follows():
    graph = Graph(MERGED, set())
    middle = {row.id: dot for row, dot in zip(graph.rows, parts(graph, "circle"), strict=True)}
    at = {one: (dot.get("cx"), dot.get("cy")) for one, dot in middle.items()}
    expected = {(at[row.id], at[parent]) for row in MERGED for parent in (*row.down, *row.needs)}
    assert {ends(path) for path in parts(graph, "path")} == expected
    assert [bool(path.get("stroke-dasharray")) for path in parts(graph, "path")].count(True) == 1, "a need is dashed"


def test_no_road_runs_through_a_mark_that_is_not_its_own():
    """A line through another revision's mark reads as if that one were followed too."""
    graph = Graph(MERGED, set())
    dots = {(int(dot.get("cx")), int(dot.get("cy"))) for dot in parts(graph, "circle")}
    for path in parts(graph, "path"):
        points = [tuple(map(int, pair)) for pair in re.findall(r"(\d+) (\d+)", path.get("d"))]
        corners = points[::3][1:-1]
        for (x, top), (_, bottom) in zip(corners[::2], corners[1::2], strict=True):
            assert not any(dot_x == x and top <= dot_y <= bottom for dot_x, dot_y in dots)


def test_the_order_is_the_same_however_the_files_are_read():
    """Alembic walks branches in an order of its own in each process; a stored picture would differ from run to run."""
    forward, backward = Graph(MERGED, set()), Graph(reversed(MERGED), set())
    assert forward.svg() == backward.svg()


@pytest.mark.parametrize(("here", "filled"), [(set(), 0), ({"0001"}, 1), ({"0002a", "0003b"}, 4), ({"9001"}, 3)])
def test_the_marks_of_what_the_database_has_are_filled(here, filled):
    """Also those that a revision depends on: Alembic has run them first."""
    circles = parts(Graph(MERGED, here), "circle")
    assert len([one for one in circles if one.get("fill") != "#ffffff"]) == filled


def test_a_database_at_a_revision_without_a_file_is_told():
    graph = Graph(TWO_HEADS, {"0009_lost"})
    sentence = "The database is at 0009_lost, of which this project has no file."
    assert str(graph).splitlines()[-1] == sentence
    assert [one.text for one in parts(graph, "text")][-1] == sentence


def test_a_project_without_revisions():
    assert str(Graph([])) == EMPTY
    assert [one.text for one in parts(Graph([]), "text")] == [EMPTY]


def test_a_long_history_and_odd_words_stay_in_the_picture():
    rows = [Revision(f"r{n:03}", "<b>&\x07 ünï" * (n % 5), (f"r{n - 1:03}",) if n else ()) for n in range(120)]
    root = ElementTree.fromstring(Graph(rows, {"r050"}).svg())
    assert len(root.findall(f"{SVG}circle")) == 120
    assert max(int(one.get("cy")) for one in root.findall(f"{SVG}circle")) < int(root.get("height"))


def test_a_lesson_and_a_terminal_draw_the_project_that_is_open(shell, capsys):
    shell("%lesson 02")
    ran = shell("%revisions")
    assert ran.text.splitlines()[0] == "● 0003_orders    ← 0002_products  Add orders  (head, the database is here)"
    assert (
        'alt="Graph of 3 revisions, the newest first: 0003_orders, 0002_products and 0001_users. Head: 0003_orders. '
        in (ran.shown["text/html"])
    )
    assert main(["revisions"]) == 0
    assert capsys.readouterr().out.strip() == ran.text


@pytest.mark.filterwarnings("ignore:Revision 0003_lost")
def test_a_file_that_python_cannot_read_is_told_with_its_line(workspace):
    opened = lesson.open_place(find_lesson("02"), workspace=workspace)
    versions = Path(opened.project, "migrations", "versions")
    (versions / "0004_broken.py").write_text("def upgrade(:\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"(?s)SyntaxError.*in migrations/versions/0004_broken.py, line 1"):
        revision_graph(opened)
    (versions / "0004_broken.py").write_text('revision = "0004"\ndown_revision = "0003_lost"\n', encoding="utf-8")
    with pytest.raises(UserError, match="0003_lost"):
        revision_graph(opened)
