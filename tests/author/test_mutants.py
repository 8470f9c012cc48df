"""Mutants of a solution: each kind of slip is made once, and by a name under which an author can declare it."""

from __future__ import annotations

import ast
import re
from dataclasses import replace

import pytest

from migration_lab.author import mutants as module
from migration_lab.author.mutants import Mutant, mutants
from migration_lab.author.sqlmutants import mutated
from migration_lab.author.survivors import Judged, sample
from migration_lab.course.manifest import exercises, find_exercise
from migration_lab.learner import Grade, Outcome

FILE = "migrations/versions/0005_x.py"
SOURCE = '''"""A docstring. It says nothing that a database could."""

import sqlalchemy as sa
from alembic import op

revision = "0005_x"
down_revision = "0004_w"
branch_labels = None
depends_on = None

BATCH = "UPDATE orders SET paid = true WHERE id BETWEEN {} AND {} AND paid IS NULL"


def upgrade() -> None:
    """Leave me out, and nothing changes."""
    op.add_column("orders", sa.Column("paid", sa.Boolean(), nullable=True))
    with op.get_context().autocommit_block():
        for first in range(1, 1_000, 100):
            op.execute(BATCH.format(first, first + 99))
    op.create_index("ix", "orders", ["paid", "id"], postgresql_concurrently=True)
    op.alter_column("orders", "paid", nullable=False)


def downgrade() -> None:
    pass
'''


@pytest.fixture
def made(monkeypatch) -> dict[str, str]:
    """The mutants of SOURCE: name → file."""
    return {mutant.name: mutant.source for mutant in of(monkeypatch, SOURCE)}


def of(monkeypatch, source: str) -> list[Mutant]:
    monkeypatch.setattr(module, "solution_of", lambda exercise: {FILE: source.encode()})
    monkeypatch.setattr(module, "starting", lambda exercise: {FILE: b'sa.Column("paid", TODO)'})
    return mutants(find_exercise("first_step"))


@pytest.mark.parametrize(
    "name",
    [
        "0005_x.py upgrade: without op.add_column('orders', …)",
        "0005_x.py upgrade: without op.execute(BATCH.format(first, first + 99))",
        "0005_x.py upgrade: op.alter_column('orders', …) before op.create_index('ix', …)",
        "0005_x.py upgrade: for first in range(1, 1000, 100): op.execute(BATCH.format(first, first + 99)) "
        "outside of `with op.get_context().autocommit_block()`",
        "0005_x.py upgrade: without postgresql_concurrently=True in op.create_index('ix', …)",
        "0005_x.py upgrade: without 'id' in ['paid', 'id'] in op.create_index('ix', …)",
        "0005_x.py upgrade: 'id' before 'paid' in op.create_index('ix', …)",
        "0005_x.py upgrade: nullable=False in sa.Column('paid', …)",
        "0005_x.py upgrade: nullable=True in op.alter_column('orders', …)",
        "0005_x.py upgrade: 101 in place of 100 in range(1, 1000, 100)",
        "0005_x.py BATCH: without `AND paid IS NULL`",
        "0005_x.py BATCH: without `WHERE id BETWEEN {} AND {} AND paid IS NULL`",
        "0005_x.py: paid_x in place of paid",
    ],
)
def test_each_kind_of_slip_is_made(made, name):
    """A kind that is not made is a mistake that learners may make, and nobody sees it pass."""
    assert name in made, "\n".join(made)


def test_what_changes_nothing_is_not_made(made):
    """An author would have to declare each of them, in each exercise, and would stop reading the list."""
    assert [
        name for name in made if re.search(r"docstring|Leave me|branch_labels|import |without pass|revision", name)
    ] == []
    assert "0005_x.py upgrade: without nullable=True in sa.Column('paid', …)" not in made
    assert len(made) == len(set(made.values())), "two names for one mutant"


@pytest.mark.parametrize(
    ("lines", "is_made"),
    [
        (('op.drop_index("a", "orders")', 'op.drop_index("b", "orders")'), False),
        (('op.alter_column("orders", "a", nullable=True)', 'op.alter_column("orders", "b", nullable=True)'), False),
        (('op.alter_column("orders", "a", nullable=True)', 'op.alter_column("orders", "a", comment="?")'), True),
        (('op.create_index("a", "orders", ["a"])', 'op.drop_index("a", "orders")'), True),
    ],
)
def test_two_lines_that_have_nothing_to_do_with_each_other_are_not_swapped(monkeypatch, lines, is_made):
    body = "\n".join(f"    {line}" for line in lines)
    names = [mutant.name for mutant in of(monkeypatch, f"def upgrade():\n{body}\n")]
    assert any(" before op." in name for name in names) == is_made


def test_a_mutant_is_a_file_that_python_reads(made):
    """A syntax error is refused for its syntax, and shows nothing about the check."""
    for source in made.values():
        assert ast.parse(source) and source != ast.unparse(ast.parse(SOURCE)) + "\n"


def test_a_name_stays_when_something_else_changes(made, monkeypatch):
    """exercise.toml declares mutants by name; a new line elsewhere must not make the declarations untrue."""
    line = '    op.alter_column("orders", "paid", nullable=False)\n'
    longer = SOURCE.replace(line, line + '    op.execute("ANALYZE orders")\n').replace(
        '"ix", "orders"', '"ix", "orders" '
    )
    assert set(made) <= {mutant.name for mutant in of(monkeypatch, longer)}


@pytest.mark.parametrize(
    ("text", "mutant"),
    [
        ("ALTER TABLE a ADD CONSTRAINT k CHECK (b > 0) NOT VALID", "ALTER TABLE a ADD CONSTRAINT k CHECK (b > 0) "),
        (
            "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES c ON DELETE CASCADE",
            "ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES c ",
        ),
        ("CREATE INDEX CONCURRENTLY i ON a (b, c)", "CREATE INDEX  i ON a (b, c)"),
        ("CREATE INDEX CONCURRENTLY i ON a (b, c)", "CREATE INDEX CONCURRENTLY i ON a (b)"),
        ("CREATE INDEX CONCURRENTLY i ON a (b, c)", "CREATE INDEX CONCURRENTLY i ON a (c, b)"),
        ("CREATE INDEX i ON a (b) WHERE c AND d", "CREATE INDEX i ON a (b) WHERE c"),
        ("DROP INDEX IF EXISTS i", "DROP INDEX  i"),
        ("DELETE FROM a WHERE NOT EXISTS (SELECT FROM b WHERE b.id = a.b)", "DELETE FROM a "),
        ("UPDATE a SET b = lower(trim(c)) WHERE d IS NULL", "UPDATE a SET b = trim(c) WHERE d IS NULL"),
        ("UPDATE a SET b = 1 WHERE d IS NULL", "UPDATE a SET b = 1 WHERE d IS NOT NULL"),
        ("SET lock_timeout = '300ms'", "SET lock_timeout = 0"),
        ("b ~ '^[A-Z]{3}$'", "b ~ '^[A-Z]{3}'"),
        ("b ~ '^[A-Z]{3}$'", "b ~ '^[A-Z]{4}$'"),
        ("status IN ('a', 'b')", "status IN ('a')"),
        ("price >= 0", "price > 0"),
        ("CREATE TRIGGER t BEFORE INSERT OR UPDATE OF a ON b", "CREATE TRIGGER t BEFORE  UPDATE OF a ON b"),
        ("BEGIN NEW.a := 1; NEW.b := NEW.a; RETURN NEW; END", "BEGIN NEW.a := 1; NULL; RETURN NEW; END"),
        ("BEGIN NEW.a := 1; NEW.b := NEW.a; RETURN NEW; END", "BEGIN NEW.b := NEW.a; NEW.a := 1; RETURN NEW; END"),
    ],
)
def test_a_text_of_sql_has_mutants_too(text, mutant):
    """Half of what a migration does is in its SQL, and Python's syntax tree sees one string there."""
    made = [changed for _, changed in mutated(text)]
    assert mutant in [changed.rstrip() if not mutant.endswith(" ") else changed for changed in made], made


def test_between_is_not_two_conditions():
    """`WHERE id BETWEEN 1` is an error of syntax, which every check refuses."""
    assert [changed for _, changed in mutated("UPDATE a SET b = 1 WHERE id BETWEEN x AND y") if "x" in changed] == [
        changed for _, changed in mutated("UPDATE a SET b = 1 WHERE id BETWEEN x AND y") if "x AND y" in changed
    ]


@pytest.mark.parametrize("exercise", exercises().values(), ids=lambda exercise: exercise.id)
def test_every_solution_has_mutants_with_names_of_their_own(exercise):
    names = [mutant.name for mutant in mutants(exercise)]
    assert names, "nothing in this solution could be wrong"
    assert len(names) == len(set(names))
    assert not [name for name in names if '"' in name or "\\" in name or "\n" in name], (
        "a name is a key in exercise.toml"
    )


def test_a_sample_is_the_same_each_time_and_a_new_mutant_rarely_changes_it():
    """A test that tries others each day fails on a change that has nothing to do with it."""
    many = [Mutant(f"0001_x.py upgrade: without {number}", FILE, "") for number in range(100)]
    assert sample(many, 3) == sample(many[::-1], 3)
    assert len(set(sample(many, 3)) & set(sample([*many, Mutant("0002_y.py upgrade: without y", FILE, "")], 3))) >= 2


def test_what_is_to_be_done_about_a_mutant():
    exercise, mutant = find_exercise("first_step"), Mutant("a", FILE, "")
    passed, refused = (Judged(mutant, Grade(exercise, one, "no")) for one in (Outcome.PASSED, Outcome.NOT_YET))
    down = replace(refused, grade=Grade(exercise, Outcome.COULD_NOT_RUN, "no server", at_fault=False))
    assert "refuse it in check.py, or say in [equivalent]" in passed.to_do({})
    assert passed.to_do({"a": "it is right"}) is None is refused.to_do({})
    assert "declares this mutant, and it is refused" in refused.to_do({"a": "an untrue reason"})
    assert "could not be graded" in down.to_do({}), "a server that is down refuses everything"
