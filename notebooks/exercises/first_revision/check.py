"""One revision makes example_items; its docstring is what `alembic history` prints."""

from migration_lab.grading import Graded, NotYet, text_fault

COLUMNS = ("id", "name")


def check(db: Graded) -> None:
    table = db.schema.tables.get("example_items")
    if table is None:
        raise NotYet("the upgrade ran, but there is no table example_items. `upgrade()` should create it.")
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise NotYet(f"example_items has no column {' and no column '.join(missing)}; it should have id and name.")
    key = next((key for key in table.constraints.values() if key.kind == "primary key"), None)
    if key is None or key.columns != ("id",):
        raise NotYet("example_items.id is not the primary key, so nothing keeps two items from having one id.")
    revision = db.revisions()[-1]
    title = " ".join(revision.title.split())
    if not title:
        raise NotYet(
            f"`alembic history` prints no word for {revision.revision}: the file has no docstring. "
            "The next person would have to read the code to know what it does."
        )
    if title.lower().startswith("convention") or "example" not in title.lower():
        raise NotYet(
            f'`alembic history` prints "{title}" for {revision.revision}. It takes the first docstring of the file: '
            "put the one that says what this migration does on top."
        )
    number, text = (table.columns[name].type for name in COLUMNS)
    if number != "integer":
        raise NotYet(f"example_items.id is {number}, not integer.")
    if fault := text_fault(db, "example_items", "name", 100, {"id": 1}):
        raise NotYet(f"example_items.name is {text}, not character varying(100): it {fault}.")
    if table.columns["name"].nullable:
        raise NotYet("example_items.name allows NULL, and an item without a name would slip in: nullable=False.")
    if key.name != "pk_example_items":
        raise NotYet(
            f"the primary key is called {key.name}, not pk_example_items: a later migration has to name what it changes."
        )


PASSED = "one revision, found by Alembic, with a title that `history` prints and a way back."
