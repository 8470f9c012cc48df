"""The picture of a schema: what a learner sees of a change, also without colours, in a terminal, or read aloud."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import combinations, pairwise
from xml.etree import ElementTree

import pytest

from migration_lab.pictures import Schema, snapshot
from migration_lab.pictures.diagram import EMPTY, FILLS, Diagram
from migration_lab.pictures.drawing import FONT_SIZE

SHOP = """
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE users (id integer PRIMARY KEY, email varchar(200) UNIQUE, bio text, old text);
CREATE TABLE products (id integer PRIMARY KEY, price numeric(10,2));
CREATE TABLE orders (id bigint PRIMARY KEY, user_id integer NOT NULL REFERENCES users ON DELETE CASCADE,
    product_id integer REFERENCES products, at timestamptz);
CREATE TABLE carts (id integer PRIMARY KEY);
CREATE VIEW buyers AS SELECT user_id FROM orders;
"""
CHANGE = """
ALTER TABLE users ADD phone varchar(20), DROP old, ALTER bio SET NOT NULL;
ALTER TABLE orders DROP CONSTRAINT orders_product_id_fkey;
ALTER TABLE orders ADD CONSTRAINT bought FOREIGN KEY (product_id) REFERENCES products ON DELETE SET NULL NOT VALID;
ALTER TYPE mood ADD VALUE 'glad';
DROP TABLE carts;
CREATE TABLE reviews (id integer PRIMARY KEY, order_id bigint REFERENCES orders);
"""
TEXT = """\
carts (- removed)
- id          integer        PK NN
orders (~ changed)
  id          bigint         PK NN
  user_id     integer        NN FK -> users.id ON DELETE CASCADE
~ product_id  integer        FK -> products.id ON DELETE SET NULL NOT VALID
  at          timestamptz
products
  id          integer        PK NN
  price       numeric(10,2)
reviews (+ added)
+ id          integer        PK NN
+ order_id    bigint         FK -> orders.id
users (~ changed)
  id          integer        PK NN
  email       varchar(200)   UQ
~ bio         text           NN
- old         text
+ phone       varchar(20)
buyers (view)
  user_id     integer
mood (enum, ~ changed)
  sad
  ok
+ glad
Changes:
- table carts was removed: id
- constraint orders_product_id_fkey on orders was removed: FOREIGN KEY (product_id) REFERENCES products(id)
+ constraint bought on orders was added: FOREIGN KEY (product_id) REFERENCES products(id) ON DELETE SET NULL, NOT VALID
~ column users.bio is NOT NULL, was nullable
- column users.old was removed: text, nullable
+ column users.phone was added: character varying(20), nullable
+ table reviews was added: id, order_id
~ type mood has labels (sad, ok, glad), had (sad, ok)"""

LONGEST = "a_name_of_sixty_three_letters_which_is_all_that_postgresql_keeps"[:63]
ODD = '<b onclick="x">&\'amp; ]]>'
SCHEMAS = {
    "nothing": "",
    "cycles": """
        CREATE TABLE a (id integer PRIMARY KEY REFERENCES a, b integer, up integer REFERENCES a);
        CREATE TABLE b (id integer PRIMARY KEY, a integer REFERENCES a);
        ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b;
        CREATE TABLE c (x integer, y integer, a integer REFERENCES a, b integer REFERENCES b, UNIQUE (x, y),
            p integer, q integer, FOREIGN KEY (p, q) REFERENCES c (x, y));""",
    "many tables": "".join(
        f"CREATE TABLE t{n} (id integer PRIMARY KEY, {' text, '.join(f'c{m}' for m in range(n % 7 + 1))} text"
        + "".join(f", p{m} integer REFERENCES t{m}" for m in sorted({n // 3, n * 7 // 11}) if m < n)
        + ");"
        for n in range(60)
    ),
    "one wide, one long": f"CREATE TABLE {LONGEST} (id integer PRIMARY KEY, {LONGEST} timestamp(3) with time zone[],"
    + ", ".join(f"c{n} text" for n in range(80))
    + f"); CREATE TABLE child (parent integer NOT NULL UNIQUE REFERENCES {LONGEST} ON DELETE SET DEFAULT);",
    "odd names": f"""
        CREATE TABLE "{ODD.replace('"', '""')}" (
            "a  b" integer PRIMARY KEY, "日本語" text, "é" text, "line\nbreak\x01" text);
        CREATE TABLE child (id integer REFERENCES "{ODD.replace('"', '""')}");
        COMMENT ON TABLE child IS '<script>';""",
    "partitions": """
        CREATE TABLE users (id integer PRIMARY KEY);
        CREATE TABLE events (day date, user_id integer REFERENCES users) PARTITION BY RANGE (day);
        CREATE TABLE january PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
        CREATE TABLE rest PARTITION OF events DEFAULT;""",
}


@pytest.fixture
def looks(database):
    """The schema of a shop before a change, and after it."""
    database.execute(SHOP)
    before = snapshot(database)
    database.execute(CHANGE)
    return before, snapshot(database)


def svg(diagram: Diagram) -> ElementTree.Element:
    """The picture, parsed: a name that is not escaped ends it here."""
    return ElementTree.fromstring(diagram.svg())


def parts(picture: ElementTree.Element, tag: str) -> list[ElementTree.Element]:
    return list(picture.iter(f"{{http://www.w3.org/2000/svg}}{tag}"))


def texts(picture: ElementTree.Element) -> list[str]:
    return [text.text for text in parts(picture, "text")]


# What it tells


def test_the_text_tells_what_the_picture_shows(looks):
    """In a terminal, and read aloud in a browser, the text is all that there is."""
    before, after = looks
    diagram = Diagram(after, before)
    assert str(diagram) == TEXT
    picture = svg(diagram)
    assert picture.get("role") == "img"
    assert [part.text for part in picture[:2]] == ["Schema: 4 tables, 8 changes", TEXT]
    assert [part.tag.split("}")[1] for part in picture[:2]] == ["title", "desc"]


def test_a_first_look_marks_nothing(looks):
    _, after = looks
    diagram = Diagram(after)
    assert "Changes:" not in str(diagram)
    assert not [line for line in str(diagram).splitlines() if line[0] in "+-~"]
    assert not {"+", "−", "~"} & set(texts(svg(diagram)))


def test_a_change_is_told_without_colours(looks):
    """One man in twelve does not see red as others do, and a printer may know none."""
    before, after = looks
    picture = svg(Diagram(after, before))
    lines: dict[tuple, list[ElementTree.Element]] = {}
    for text in parts(picture, "text"):
        lines.setdefault(text.get("y"), []).append(text)
    fills = [fill for change, fill in FILLS.items() if change]
    marked = [rect for rect in parts(picture, "rect") if rect.get("fill") in fills]
    assert len(marked) == 8, "every column and label that came, went or changed"
    for rect in marked:
        left, top, width = (int(rect.get(name)) for name in ("x", "y", "width"))
        row = [text for text in lines[str(top + 15)] if left <= int(text.get("x")) <= left + width]
        assert row[0].text in "+−~"
        assert (row[1].get("text-decoration") == "line-through") == (row[0].text == "−")
    headings = [text for text in texts(picture) if text.split()[-1] in ("added", "removed", "changed")]
    assert sorted(headings) == ["added", "changed", "changed", "enum changed", "removed"]
    assert [text[0] for text in texts(picture) if " was " in text or " had " in text] == [*"−−+~−++~"]


def test_foreign_keys_are_told_apart_by_their_line(looks):
    """The one that goes is dotted, one that is NOT VALID is dashed, and a tooltip says which it is."""
    before, after = looks
    picture = svg(Diagram(after, before))
    drawn = {edge[0].text: edge[1].get("stroke-dasharray") for edge in parts(picture, "g")}
    assert drawn == {
        "orders.product_id → products.id, ON DELETE SET NULL NOT VALID, added": "6 4",
        "orders.product_id → products.id, removed": "1 3",
        "orders.user_id → users.id, ON DELETE CASCADE": None,
        "reviews.order_id → orders.id, added": None,
    }


def test_a_partition_is_not_its_parent_once_more(database):
    """A hundred partitions would repeat their parent's columns and foreign keys a hundred times."""
    database.execute(SCHEMAS["partitions"])
    diagram = Diagram(snapshot(database))
    assert str(diagram).splitlines()[3:7] == [
        "january (partition)",
        "  PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')",
        "rest (partition)",
        "  PARTITION OF events DEFAULT",
    ]
    assert [edge[0].text for edge in parts(svg(diagram), "g")] == ["events.user_id → users.id"]


def test_an_empty_schema_says_so():
    diagram = Diagram(Schema())
    assert str(diagram) == EMPTY
    assert EMPTY in texts(svg(diagram))


def test_names_are_shown_and_not_obeyed(database):
    """A name or a comment can hold markup: it must stay text in the page that shows the picture."""
    database.execute(SCHEMAS["odd names"])
    diagram = Diagram(snapshot(database), Schema())
    shown = texts(svg(diagram))
    assert {ODD, "a  b", "日本語", "é", "line\N{REPLACEMENT CHARACTER}break\N{REPLACEMENT CHARACTER}"} <= set(shown)
    assert "<b" not in diagram.svg() and "<script" not in diagram.svg()
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", str(diagram)), "what would steer a terminal"


# How it is drawn


def test_the_same_schemas_give_the_same_bytes(looks):
    """Stored notebooks would change with each run, and nbval would call a true output untrue."""
    before, after = looks
    code = (
        "import json, sys; from migration_lab.pictures import Diagram, Schema;"
        "before, after = map(Schema.from_dict, json.load(sys.stdin)); diagram = Diagram(after, before);"
        "sys.stdout.reconfigure(encoding='utf-8'); print(diagram, diagram.svg(), sep='\\n')"
    )
    here = f"{Diagram(after, before)}\n{Diagram(after, before).svg()}\n"
    for seed in "1", "2":
        done = subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps([before.to_dict(), after.to_dict()]),
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
            encoding="utf-8",
        )
        assert done.stdout == here


def test_the_order_of_making_changes_nothing(running, database, looks):
    """Where a box stands must not depend on which migration came first."""
    before, after = looks
    database.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    statements = [statement for statement in SHOP.split(";") if statement.strip()]
    for first in (1, 2, 0, 3, 4, 5):
        database.execute(statements[first])
    assert Diagram(snapshot(database)).svg() == Diagram(before).svg()


@pytest.mark.parametrize("name", SCHEMAS)
def test_all_is_within_the_picture_and_nothing_covers_anything(database, name):
    """Long names ran out of their boxes and into each other; of many tables some stood on others or off the paper."""
    database.execute(SCHEMAS[name])
    schema = snapshot(database)
    picture = svg(Diagram(schema, Schema()))
    width, height = int(picture.get("width")), int(picture.get("height"))
    boxes = [area(rect) for rect in parts(picture, "rect") if rect.get("rx") == "5"]
    assert len(boxes) == len(schema.tables)
    assert width <= 1300, "wider than a page, it is scaled down until nobody can read it"
    edges = [path for edge in parts(picture, "g") for path in edge[1:]]
    for left, top, right, bottom in [*boxes, *map(written, parts(picture, "text")), *map(drawn, edges)]:
        assert 0 <= left <= right <= width and 0 <= top <= bottom <= height
    for one, other in combinations(boxes, 2):
        assert apart(one, other)
    rows: dict[float, list] = {}
    for text in parts(picture, "text"):
        rows.setdefault(written(text)[1], []).append(written(text))
    for row in rows.values():
        for one, other in pairwise(sorted(row)):
            assert one[2] <= other[0], f"{name}: two texts on one another"
    for left, top, right, bottom in map(written, parts(picture, "text")):
        for box in boxes:
            inside = box[0] <= left and right <= box[2] and box[1] <= top and bottom <= box[3]
            assert inside or apart((left, top, right, bottom), box)


Area = tuple[float, float, float, float]  # left, top, right, bottom


def apart(one: Area, other: Area) -> bool:
    return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def area(rect: ElementTree.Element) -> Area:
    x, y, width, height = (int(rect.get(name)) for name in ("x", "y", "width", "height"))
    return x, y, x + width, y + height


LETTER = 0.602 * FONT_SIZE  # in DejaVu Sans Mono, the widest of the fonts that the picture names


def written(text: ElementTree.Element) -> Area:
    """What a text covers."""
    x, y = int(text.get("x")), int(text.get("y"))
    wide = len(re.findall(r"[\u3000-\u9fff]", text.text))
    width = (len(text.text) + wide) * LETTER
    return (x - width, y - 11, x, y + 4) if text.get("text-anchor") == "end" else (x, y - 11, x + width, y + 4)


def drawn(path: ElementTree.Element) -> Area:
    """What an edge covers: its points, and the middle of each curve, where a loop is farthest out."""
    points: list[tuple[float, float]] = []
    for letter, numbers in re.findall(r"([A-Za-z])([^A-Za-z]*)", path.get("d")):
        values = [int(number) for number in numbers.split()]
        if letter == "H":
            points.append((values[0], points[-1][1]))
        elif letter == "v":
            points.append((points[-1][0], points[-1][1] + values[0]))
        elif letter == "C":
            x, y = points[-1]
            near_x, near_y, far_x, far_y, end_x, end_y = values
            middle = (x + 3 * near_x + 3 * far_x + end_x) / 8, (y + 3 * near_y + 3 * far_y + end_y) / 8
            points += [middle, (end_x, end_y)]
        else:
            points += zip(values[::2], values[1::2], strict=True)
    across, down = zip(*points, strict=True)
    return min(across), min(down), max(across), max(down)
