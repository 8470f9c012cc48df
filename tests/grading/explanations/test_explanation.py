"""What is said of the mistakes that everybody makes, whatever the exercise: which file, which revision, what is there.

A bare `KeyError: '0003_order'` sends people into Alembic's code; a cause that nobody has seen sends them after a mistake that
they did not make.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.grading.test_grading import EXERCISE, FILE, SOLUTION, migration

from migration_lab.course.manifest import find_exercise
from migration_lab.grading import batch
from migration_lab.learner.grade import Grade, Outcome

OTHER = "migrations/versions/0004_other.py"


@pytest.fixture
def grade(running, tmp_path):
    """Grade files, path → text, as an answer to first_step or to another exercise."""

    def graded(files: dict[str, str | bytes], exercise=EXERCISE) -> Grade:
        folder = tmp_path / "answer"
        folder.mkdir()
        for name, content in files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return batch.grade_answer(exercise, [folder], lambda: running)

    return graded


def renamed(old: str, new: str) -> str:
    assert old in SOLUTION
    return SOLUTION.replace(old, new)


# What the files say


FILES = {
    "wrong down_revision": (
        {FILE: renamed('"0003_orders"', '"0003_order"')},
        f"{FILE} says down_revision = '0003_order', and no file in migrations/versions has that revision. There are "
        "0001_users, 0002_products, 0003_orders and 0004_city. The nearest is 0003_orders.",
    ),
    "down_revision names a file": (
        {FILE: renamed('"0003_orders"', '"0003_orders.py"')},
        "says down_revision = '0003_orders.py', which is the name of a file. down_revision takes the revision that is "
        "written in the file: '0003_orders'.",
    ),
    "two heads": (
        {FILE: SOLUTION, OTHER: renamed("0004_city", "0004_other")},
        f"No file follows {FILE} (down_revision = '0003_orders') and {OTHER} (down_revision = '0003_orders')",
    ),
    "one id twice": (
        {FILE: SOLUTION, OTHER: SOLUTION},
        f"{FILE} and {OTHER} have the same revision, '0004_city'. Each file needs one of its own.",
    ),
    "follows itself": (
        {FILE: renamed('"0003_orders"', '"0004_city"')},
        f"{FILE} follows '0004_city', which is its own revision.",
    ),
    "a circle": (
        {
            FILE: renamed('"0003_orders"', '"0004_other"'),
            OTHER: renamed('"0004_city"', '"0004_other"').replace('"0003_orders"', '"0004_city"'),
        },
        f"{FILE} follows '0004_other' and {OTHER} follows '0004_city'. One of them has to follow a revision outside",
    ),
    "a long id": (
        {FILE: renamed('"0004_city"', '"0004_city_of_users_who_live_somewhere"')},
        "The revision '0004_city_of_users_who_live_somewhere' has 37 characters, and alembic_version.version_num holds 32.",
    ),
    "no upgrade()": (
        {FILE: renamed("def upgrade", "def upgrde")},
        f"{FILE} has no function upgrade(). The nearest is upgrde.",
    ),
    "no downgrade()": ({FILE: renamed("def downgrade", "def down")}, f"{FILE} has no function downgrade()."),
    "no revision": ({FILE: renamed('revision = "0004_city"', "")}, "0004_city.py does not assign `revision`."),
    "no down_revision": ({FILE: renamed("down_revision", "down_revison")}, f"{FILE} does not assign `down_revision`."),
    "empty": ({FILE: ""}, "0004_city.py is empty."),
    "another folder": (
        {"delete.txt": FILE, "migrations/0004_city.py": SOLUTION},
        "Alembic does not see migrations/0004_city.py: it reads the files in migrations/versions whose names end in .py",
    ),
    "no .py": (
        {"delete.txt": FILE, "migrations/versions/0004_city": SOLUTION},
        "Alembic does not see migrations/versions/0004_city: it reads",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_wrong_with_the_chain_of_revisions(grade, name):
    files, sentence = FILES[name]
    found = grade(files)
    assert found.outcome in (Outcome.COULD_NOT_RUN, Outcome.NOT_YET) and found.at_fault, found
    assert sentence in found.message, found


def test_two_parents_in_one_text(grade):
    """Alembic's KeyError has both names in it, and neither is wrong."""
    merge = 'revision, down_revision = "0005_one_history", "0004_city, 0004_phone"\ndef upgrade(): pass\ndef downgrade(): pass\n'
    found = grade({"migrations/versions/0005_one_history.py": merge}, find_exercise("two_heads"))
    assert "They are a tuple of texts: down_revision = ('0004_city', '0004_phone')." in found.message


# What Python says

CALL = 'op.add_column("users", sa.Column("city", sa.String(length=50), nullable=True))'
PYTHON = {
    "sa not imported": (
        {FILE: renamed("import sqlalchemy as sa\n", "")},
        f"{FILE} does not import sa. Add this line at its top: `import sqlalchemy as sa`.",
    ),
    "true": ({FILE: renamed("nullable=True", "nullable=true")}, "Python writes True, not true."),
    "no such operation": ({FILE: renamed("op.add_column", "op.add_colum")}, "The nearest is add_column."),
    "no such module": (
        {FILE: renamed("import sqlalchemy as sa", "import sqlalchemie as sa")},
        "There is neither a package sqlalchemie in the lab's Python nor such a module in the project. The nearest is sqlalchemy.",
    ),
    "another driver": (
        {FILE: renamed("import sqlalchemy as sa", "import psycopg2")},
        "driver for PostgreSQL is psycopg,",
    ),
    "a bracket": (
        {FILE: renamed(CALL, CALL[:-1])},
        f"      {CALL[:-1]}\n    {' ' * 17}^",
    ),
    "a wrong indent": (
        {FILE: renamed(f"    {CALL}", f"  pass\n    {CALL}")},
        "Python tells blocks by how far their lines are indented.",
    ),
    "a tab": ({FILE: renamed(f"    {CALL}", f"        pass\n\t{CALL}")}, "begin with tabs here and with blanks there."),
    "latin-1": (
        {FILE: ('"""Zoë"""\n' + SOLUTION).encode("latin-1")},
        "0004_city.py is not saved as UTF-8: line 1 has the byte 0xeb, which would be 'ë' in latin-1.",
    ),
    "UTF-16": ({FILE: SOLUTION.encode("utf-16")}, "0004_city.py is saved as UTF-16. Python reads UTF-8"),
    "a null byte": ({FILE: renamed("op.drop", "\0op.drop")}, "0004_city.py has a null byte in line "),
}


@pytest.mark.parametrize("name", PYTHON)
def test_what_python_can_not_read_or_find(grade, name):
    files, sentence = PYTHON[name]
    found = grade(files)
    assert found.outcome is Outcome.COULD_NOT_RUN and found.at_fault, found
    assert sentence in found.message, found


@pytest.mark.parametrize(
    "content",
    [SOLUTION.encode("utf-8-sig"), SOLUTION.replace("\n", "\r\n").encode(), SOLUTION.rstrip().encode()],
    ids=["BOM", "CRLF", "no newline at the end"],
)
def test_what_editors_do_to_a_file_is_no_mistake(grade, content):
    assert grade({FILE: content}).outcome is Outcome.PASSED


# What the server says


BLOCK = "with op.get_context().autocommit_block():\n    "
SERVER = {
    "several in one string": (
        BLOCK + "op.execute('SET lock_timeout = 0; CREATE INDEX CONCURRENTLY ix_name ON users (name)')",
        "Statements that are sent in one string are one transaction, in an autocommit_block too",
    ),
    "others refer to it": (
        'op.execute("DELETE FROM users WHERE id = (SELECT min(user_id) FROM orders)")',
        "The statement would take away a row to which others refer: the server's DETAIL names both.",
    ),
    "an index of a constraint": (
        'op.execute("DROP INDEX pk_users")',
        "The index belongs to the constraint. Drop the constraint, and its index goes along.",
    ),
    "taken away before": (
        'op.drop_column("users", "age")\nop.alter_column("users", "age", nullable=True)',
        "It was taken away earlier in the same command, in 0004_city.py, line ",
    ),
    "made twice": (
        'op.add_column("users", sa.Column("city", sa.String(50)))',
        f"It was made earlier in the same command, in {Path(FILE).name}, line ",
    ),
    "there from the start": (
        'op.add_column("users", sa.Column("email", sa.String(50)))',
        "It was there when the exercise began.",
    ),
    "no such table": (
        'op.drop_column("user", "email")',
        "There are the tables orders, products and users in the database.",
    ),
    "no such column": (
        'op.drop_column("users", "emial")',
        "users has the columns id, name, email, age and created_at. The nearest is email.",
    ),
    "goes on after an error": (
        """
        try: op.execute("SELECT 1 / 0")
        except Exception: pass
        op.execute("SELECT 1")
        """,
        "An earlier statement of the transaction had failed, in 0004_city.py, line ",
    ),
    "waits for itself": (
        """
        with sa.create_engine(os.environ["DATABASE_URL"]).begin() as second:
            second.execute(sa.text("SET lock_timeout = '200ms'"))
            second.execute(sa.text("UPDATE users SET name = name"))
        """,
        "Alembic's own transaction of the same command was open meanwhile, and held AccessExclusiveLock on users.",
    ),
    "waits for a session that it left": (
        """
        sa.kept = psycopg.connect()
        sa.kept.execute("LOCK TABLE orders")
        op.execute("SET lock_timeout = '200ms'")
        op.execute("LOCK TABLE orders")
        """,
        "A session that your migration opened is still open, and holds AccessExclusiveLock on orders.",
    ),
    "sleeps": (
        "op.execute(\"SET statement_timeout = '200ms'\"); op.execute('SELECT pg_sleep(60)')",
        "The statement calls pg_sleep.",
    ),
    "takes its table away": (
        "op.execute('DROP SCHEMA public CASCADE')",
        "Alembic's own table was not found after a statement in 0004_city.py, line 14: `DROP SCHEMA public CASCADE`.",
    ),
}


@pytest.mark.parametrize("name", SERVER)
def test_what_the_server_refuses(grade, name):
    upgrade, sentence = SERVER[name]
    found = grade({FILE: migration(upgrade)})
    assert found.outcome is Outcome.COULD_NOT_RUN and found.at_fault, found
    assert sentence in found.message, found


EMPTY_DOWNGRADES = {
    "index_online": ("ix_orders_created_at", ["a buyer had", "there is no index"]),
    "order_items_whole": ("order_items", ["is it made twice", "failed"]),
    "capstone": ("total_cents", ["DuplicateColumn", "failed"]),
    "unique_using_index": ("uq_order_items_order_product", ["gave up"]),
    "types_for_free": ("users.name", ["hours"]),
}


@pytest.mark.parametrize("name", EMPTY_DOWNGRADES)
def test_an_empty_downgrade_is_told_as_that(grade, name):
    """The commonest slip of all. Second upgrades stumbled over what it had left, and each check told another story of it."""
    exercise = find_exercise(name)
    solution = exercise.folder / "solution"
    files = {}
    for file in solution.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        if "def downgrade" in text:
            text = text[: text.index("def downgrade")] + "def downgrade() -> None:\n    pass\n"
        files[file.relative_to(solution).as_posix()] = text
    left, untrue = EMPTY_DOWNGRADES[name]
    found = grade(files, exercise)
    assert found.outcome is Outcome.NOT_YET and found.at_fault, found
    assert "downgrade" in found.message and left in found.message, found
    assert not [words for words in untrue if words in found.message], found
