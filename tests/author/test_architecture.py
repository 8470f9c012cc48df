"""docs/architecture.svg: people find their way by it, so it must show the imports that there are."""

from __future__ import annotations

import random
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from migration_lab.author.architecture import FILE, WIDTH, picture
from migration_lab.author.floors import place, ways
from migration_lab.author.rooms import Room, essential, imports, room_of, rooms
from migration_lab.pictures.drawing import CELL

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def graph():
    return imports()


def test_the_stored_drawing_shows_the_imports(graph):
    """Whoever reads a drawing of last year's rooms looks for a file where it is not."""
    assert FILE.read_text(encoding="utf-8") == picture(rooms(graph)), (
        "docs/architecture.svg is not what the imports give now. Draw it again: python3 scripts/architecture.py"
    )


def test_a_room_has_the_imports_of_all_its_files(graph):
    found = rooms(graph)
    for module in graph.modules:
        for other in graph.find_modules_directly_imported_by(module):
            assert room_of(other) in found[room_of(module)].imports | {room_of(module)}
    assert found["migration_lab.grading"].is_package and not found["migration_xray.command"].is_package
    assert sum(room.files for room in found.values()) == len(graph.modules)


def test_what_other_arrows_show_is_left_out():
    links = {"a": {"b", "c", "d"}, "b": {"c"}, "c": set(), "d": {"c"}}
    assert essential(links) == {"a": ["b", "d"], "b": ["c"], "c": [], "d": ["c"]}


def test_the_drawing_is_read_aloud_too(graph):
    """Who can't see the picture has its words alone."""
    drawn = ElementTree.fromstring(picture(rooms(graph)))
    said = drawn.findtext(f"{SVG}desc")
    assert drawn.findtext(f"{SVG}title")
    for room in rooms(graph).values():
        assert f"{room.package}/{room.label}" in said
        assert all(name in said for name in room.imports)


def test_the_drawing_fits_the_page_and_each_text_its_box(graph):
    drawn = ElementTree.fromstring(picture(rooms(graph)))
    assert int(drawn.get("width")) == WIDTH <= 900
    for text in drawn.iter(f"{SVG}text"):
        size = CELL * int(text.get("font-size", "13")) / 13
        left = int(text.get("x")) - (size * len(text.text) if text.get("text-anchor") else 0)
        assert left > 0 and left + size * len(text.text) < WIDTH, text.text


def rooms_at_random(seed: int) -> dict[str, Room]:
    chosen = random.Random(seed)
    names = [
        f"migration_{package}.room{number}" for package in ("lab", "xray") for number in range(chosen.randint(1, 12))
    ]
    return {
        name: Room(
            name, 3, True, frozenset(chosen.sample(names[at + 1 :], chosen.randint(0, min(4, len(names) - at - 1))))
        )
        for at, name in enumerate(names)
    }


@pytest.mark.parametrize("seed", range(20))
def test_no_arrow_crosses_a_box_of_any_drawing(seed):
    """The rooms change, and nobody looks at the drawing each time."""
    drawn = ElementTree.fromstring(picture(rooms_at_random(seed)))
    boxes = [
        [int(rect.get(name)) for name in ("x", "y", "width", "height")]
        for rect in drawn.iter(f"{SVG}rect")
        if rect.get("rx") == "5"
    ]
    arrows = [path.get("d") for path in drawn.iter(f"{SVG}path") if path.get("stroke-width") == "1.5"]
    for arrow in arrows:
        x, y = map(int, re.match(r"M(\d+) (\d+)", arrow).groups())
        for down, *_, next_x, next_y in re.findall(r"V(\d+)C(\d+) (\d+) (\d+) (\d+) (\d+) (\d+)", arrow):
            for left, top, width, height in boxes:
                assert not (left < x < left + width and y < top + height and int(down) > top), "straight through a box"
                assert not (int(down) < top + height and int(next_y) > top), "a curve where boxes are"
            x, y = int(next_x), int(next_y)


@pytest.mark.parametrize("seed", range(20))
def test_boxes_do_not_overlap_and_are_above_those_that_they_lead_to(seed):
    chosen = random.Random(seed)
    names = [f"box{number}" for number in range(chosen.randint(1, 10))]
    links = {
        name: sorted(chosen.sample(names[at + 1 :], chosen.randint(0, min(3, len(names) - at - 1))))
        for at, name in enumerate(names)
    }
    floors = place({name: (chosen.randint(40, 120), chosen.randint(20, 60)) for name in names}, links, 0, 900, 0)
    placed = {one.name: one for floor in floors for one in floor if one.name}
    assert placed.keys() == set(names)
    for floor in floors:
        for one, other in pairwise(floor):
            assert one.left + one.width < other.left
    for name, others in links.items():
        assert all(placed[name].bottom < placed[other].top for other in others)
    assert len(list(ways(floors))) == sum(map(len, links.values()))
