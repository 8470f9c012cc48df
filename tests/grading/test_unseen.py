"""Answers are graded on rows that no learner has seen, so that an answer that is made for the rows at hand does not pass.

Such an answer works on the learner's own database. The message therefore has to show the row at which it does not, and to
say that the check uses other rows: else the learner looks for a mistake that is nowhere to be seen.
"""

from __future__ import annotations

import shutil
from itertools import pairwise

import pytest

from migration_lab.course.manifest import exercises, find_exercise
from migration_lab.grading import batch
from migration_lab.grading.unseen import OTHER_ROWS, STARTS, start_of
from migration_lab.learner.grade import Outcome
from migration_lab.server import startstate

TABLES = ("users", "products", "orders")
FACTS = {
    "ids above the number of rows": "SELECT max(id) > count(*) + 500 FROM {}",
    "gaps between ids": "SELECT max(id) - min(id) + 1 > count(*) + 500 FROM {}",
    "another order on disk than that of ids": "SELECT NOT bool_and(later) FROM"
    " (SELECT id > lag(id) OVER (ORDER BY ctid) AS later FROM {}) AS pairs",
    "a next id that leaves a gap": "SELECT nextval(pg_get_serial_sequence('{0}', 'id')) > (SELECT max(id) + 1 FROM {0})",
}
MORE_FACTS = {
    "new orders with small ids": "SELECT NOT bool_and(later) FROM"
    " (SELECT created_at > lag(created_at) OVER (ORDER BY id) AS later FROM orders) AS pairs",
    "capitals in emails": "SELECT count(*) > 100 FROM users WHERE email <> lower(email)",
    "quotes in names": "SELECT count(*) > 10 FROM users WHERE name LIKE '%''%'",
    "umlauts in names": "SELECT count(*) > 10 FROM users WHERE name ~ '[äöüß]'",
    "names as long as they may be": "SELECT max(length(name)) = 100 AND min(length(name)) = 1 FROM users",
    "an email as long as it may be": "SELECT max(length(email)) = 255 FROM users",
    "products of one name": "SELECT count(DISTINCT name) < count(*) FROM products",
    "prices of a cent": "SELECT count(*) > 0 FROM products WHERE price = 0.01",
    "totals of some cents and of a hundred thousand": "SELECT count(*) > 20 FROM orders WHERE total < 0.30 OR total > 90000",
    "orders that cost nothing": "SELECT count(*) > 0 FROM orders WHERE total = 0",
    "a long run of finished orders with no gap": "SELECT count(*) >= 240 FROM orders WHERE id BETWEEN 491 AND 730"
    " AND status = 'complete'",
    "another share of cancelled orders": "SELECT count(*) NOT BETWEEN 5 AND 20 FROM orders WHERE status = 'cancelled'",
}
PROMISES = {  # what tasks and given revisions say of the rows
    "the ids 1 to 100": "SELECT count(*) = 300 FROM (SELECT id FROM users UNION ALL SELECT id FROM products"
    " UNION ALL SELECT id FROM orders) AS every WHERE id BETWEEN 1 AND 100",
    "ages that are numbers, and none missing": "SELECT bool_and(age ~ '^[0-9]{1,3}$') FROM users",
    "each email once, however it is written": "SELECT count(DISTINCT lower(email)) = count(*) FROM users",
    "prices above zero": "SELECT bool_and(price > 0) FROM products",
    "four statuses": "SELECT array_agg(DISTINCT status::text) = '{cancelled,complete,pending,processing}' FROM orders",
    "orders from before the capstone's busy day": "SELECT max(created_at) < '2026-03-02' FROM orders",
}


@pytest.fixture
def clone(running):
    """``clone(start)``: an autocommit session in a new database at a start state."""
    made = {}

    def make(start: str):
        name = f"unseen_{len(made)}"
        startstate.create_database(running, name, start)
        made[name] = running.connect(name)
        return made[name]

    yield make
    for session in made.values():
        session.close()
    with running.connect() as session:
        for name in made:
            startstate.drop_database(session, name)


def digest(session) -> str:
    rows = "SELECT md5(string_agg(t::text, ';' ORDER BY id)) FROM {} AS t"
    return " ".join(session.execute(rows.format(table)).fetchone()[0] for table in TABLES)


LEARNERS = "d9d219b024d0c55151a592d1a4861096 1037b2dd4c207245c70fed2c60caf51d 648e2cdc0195cb21466e98bcf5bafcc3"


# The rows


def test_the_rows_to_grade_on_differ_in_all_the_promised_ways(clone):
    unseen, seen = clone("unseen"), clone("small")
    queries = {
        f"{fact}: {table}": query.format(table) for fact, query in FACTS.items() for table in TABLES
    } | MORE_FACTS
    for fact, query in queries.items():
        assert unseen.execute(query).fetchone() == (True,), f"no {fact}"
        assert seen.execute(query).fetchone() != (True,), f"the learner's rows have {fact} too, so they are no news"


@pytest.mark.parametrize("start", ["small", "unseen"])
def test_what_tasks_say_of_the_rows_holds_for_both(clone, start):
    session = clone(start)
    for promise, query in PROMISES.items():
        assert session.execute(query).fetchone() == (True,), promise


def test_a_grading_at_another_time_and_place_has_the_same_rows(clone, running, monkeypatch):
    """Else one answer would pass today and fail tomorrow."""
    first, elsewhere = digest(clone("unseen")), clone("empty")
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")
    monkeypatch.setenv("PGDATESTYLE", "german, dmy")
    startstate._migrate(running, elsewhere.info.dbname, "unseen")
    startstate._load(running, elsewhere.info.dbname, "unseen")
    assert digest(elsewhere) == first


def test_the_learners_rows_are_what_they_were(clone):
    """Lessons quote them, and the outputs that notebooks have stored come from them."""
    assert digest(clone("small")) == LEARNERS
    assert digest(clone("unseen")) != LEARNERS


def test_a_start_state_is_named_by_its_own_rows_alone(monkeypatch, tmp_path):
    """A change of the rows to grade on must build them anew, and leave the large start state as it is."""
    for part in ("shop", "project"):
        shutil.copytree(startstate.PACKAGE / part, tmp_path / part)
    monkeypatch.setattr(startstate, "PACKAGE", tmp_path)
    before = {start: startstate.template_name(start, "lab") for start in ("small", "large", "unseen")}
    with (tmp_path / "shop" / "unseen.sql").open("a") as file:
        file.write("-- more\n")
    after = {start: startstate.template_name(start, "lab") for start in before}
    assert {start for start in before if before[start] != after[start]} == {"unseen"}


def test_the_learners_start_state_and_the_one_to_grade_on_live_side_by_side(running):
    """An embedded server drops outdated start states; it dropped and built these two in turn otherwise."""
    names = [startstate.ensure_template(running, start) for start in ("small", "unseen", "small")]
    assert names[0] == names[2] != names[1]
    with running.connect() as session:
        for start, name in zip(("small", "unseen"), names, strict=False):
            startstate._drop_outdated(session, name, start)
        found = session.execute("SELECT count(*) FROM pg_database WHERE datname = ANY(%s)", [names]).fetchone()
    assert found == (2,)


def test_every_start_of_an_exercise_has_rows_to_grade_on():
    """An exercise that began at `large` would be graded on the rows that its learner has."""
    assert {start_of(exercise) for exercise in exercises().values()} <= {"empty", *STARTS.values()}


# Answers for the rows at hand. Each is the solution with another text in it.


HARD_WIRED = {
    "the last id is a thousand": (
        "rename_live",
        {'op.get_bind().exec_driver_sql("SELECT max(id) FROM orders").scalar() or 0': "1000"},
        ["order 1107 has a total of ", "and its amount is NULL"],
    ),
    "a tag is the first one or the second": (
        "tags_table",
        {"SELECT DISTINCT id, unnest(tags) FROM products": "SELECT id, tags[1] FROM products WHERE tags[1] IS NOT NULL"
         " UNION SELECT id, tags[2] FROM products WHERE tags[2] IS NOT NULL"},
        ["product 4199 has the tags ['a', 'b', 'c', ", "and the table lacks 'c'"],
    ),
    "people type in two ways": (
        "batched_backfill",
        {"lower(trim(status)) = 'complete'": "status IN ('complete', 'Complete', 'complete ')"},
        ["typed by hand still say '  complete' (order 2483) and 'COMPLETE' (order "],
    ),
    "a tenth of 110 orders is not finished": (
        "batched_backfill",
        {"last + 1, 100)": "last + 1, 110)", "first + 99": "first + 109"},
        ["one transaction wrote 110 orders"],
    ),
    "these four are no numbers": (
        "age_to_integer",
        {"age ~ '^ *[0-9]{1,9} *$'": "age NOT IN ('12a', '', '3.5', '9999999999')"},
        ['invalid input syntax for type integer: "'],
    ),
    "seven products have no time": (
        "honest_pair",
        {"WHERE is_deleted AND deleted_at IS NULL": "WHERE id <= 7",
         "WHERE NOT is_deleted AND deleted_at IS NOT NULL": "WHERE id BETWEEN 51 AND 55"},
        ["violated by some row"],
    ),
    "whoever has signed up twice has a high id": (
        "invalid_index",
        {"DELETE FROM users AS later USING users AS first WHERE later.email = first.email AND later.id > first.id":
         "DELETE FROM users WHERE id > 1000"},
        ["is still referenced from table"],
    ),
    "whoever has left has a high id": (
        "orphans_first",
        {"NOT EXISTS (SELECT FROM users u WHERE u.id = r.user_id)": "r.user_id > 5000"},
        ["Key (user_id)=(", "is not present in table"],
    ),
    "an age follows from the id": (
        "honest_refusal",
        {"raise RuntimeError(": 'op.add_column("users", sa.Column("age", sa.String(20), comment="As the sign-up form sends it"))\n'
         '    op.execute("UPDATE users SET age = 18 + id * 7 % 63")\n    op.drop_column("users", "age_group")\n    str('},
        ["an age that they never gave: user 1 has '25', and had '47'"],
    ),
    "a thousand users get their name back": (
        "contract_later",
        {"UPDATE users SET name = full_name": "UPDATE users SET name = full_name WHERE id <= 1000"},
        ['column "name" of relation "users" contains null values'],
    ),
    "one user has closed an account": (
        "soft_delete_unique",
        {"deleted_at IS NULL": "id <> 10"},
        [" can't come back: "],
    ),
    "everybody gets parcels by post": (
        "enum_value",
        {"SET delivery = 'locker' WHERE id <= 10": "SET delivery = (CASE WHEN id <= 10 THEN 'locker' ELSE 'post' END)::delivery"},
        ["order 12 was delivered by courier and is by post now"],
    ),
    "every hundredth order is cancelled": (
        "exact_inverse",
        {'    op.alter_column("orders", "status", server_default=None)\n    op.alter_column("orders", "status", type_=sa.String(length=20))':
         '    op.drop_column("orders", "status")\n'
         '    op.add_column("orders", sa.Column("status", sa.String(20), nullable=False, server_default="complete"))\n'
         "    op.execute(\"UPDATE orders SET status = CASE WHEN id % 100 = 0 THEN 'cancelled' WHEN id % 20 = 1 THEN 'pending'"
         " WHEN id % 20 = 2 THEN 'processing' ELSE 'complete' END\")"},
        ["order 4 was 'pending' and is 'complete' now"],
    ),
    "the last of 21,000 orders": (
        "capstone",
        {"last + 1, 5_000)": "21_001, 5_000)"},
        ["is violated by some row"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HARD_WIRED)
def test_an_answer_for_the_rows_at_hand_is_refused_and_learns_why(name, running, tmp_path):
    identifier, edits, said = HARD_WIRED[name]
    exercise = find_exercise(identifier)
    shutil.copytree(exercise.folder / "solution", tmp_path / "answer")
    files = {file: file.read_text("utf-8") for file in (tmp_path / "answer").rglob("*.py")}
    for old, new in edits.items():
        assert any(old in text for text in files.values()), f"the solution of {identifier} has no {old!r} any more"
        files = {file: text.replace(old, new) for file, text in files.items()}
    for file, text in files.items():
        file.write_text(text, "utf-8")
    grade = batch.grade_answer(exercise, [tmp_path / "answer"], lambda: running)
    assert grade.outcome in (Outcome.NOT_YET, Outcome.COULD_NOT_RUN) and grade.at_fault, grade
    places = [grade.message.find(words) for words in said]
    assert -1 not in places and all(one < other for one, other in pairwise(places)), grade.message
    assert grade.message.count(OTHER_ROWS) == 1
