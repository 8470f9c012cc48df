"""0001_items, then a revision that gives items a note: one line, one head."""

from migration_lab.grading import AlembicError, Graded, NotYet, snapshot


def check(db: Graded) -> None:
    if "items" not in db.schema.tables:
        raise NotYet(
            "the table items is not there after the upgrade: 0001_items did not run. Leave it as it was given."
        )
    if "note" not in db.schema.tables["items"].columns:
        raise NotYet("items has no column note after the upgrade: your revision did not run.")
    line = [revision.revision for revision in db.revisions()]
    if len(line) != 2:
        raise NotYet(
            f"the upgrade ran {len(line)} revision(s), {', '.join(line)}; it should be two, one after the other."
        )
    if "TODO" in line:
        raise NotYet(
            "your revision is called TODO, and so would the next one be. Give it an id of its own, such as 0002_item_note."
        )
    try:
        db.alembic("downgrade", "-1")
    except AlembicError:
        return  # the round trip tells it better
    items = snapshot(db.session).tables.get("items")
    if items is None:
        raise NotYet(
            "one revision back, the table items is gone, and its rows are too. 0001_items made it: `downgrade()` takes back what its "
            "own `upgrade()` did, and no more."
        )
    if "note" in items.columns:
        raise NotYet("one revision back, items still has its note: `downgrade()` takes back what `upgrade()` did.")
    db.alembic("upgrade", "head")


def explain(error) -> str | None:
    if "not allowed in revision" in error.sentence:
        return "Alembic's command line gives that sign a meaning of its own. Letters, digits and _ are safe."
    if error.sqlstate == "42P01" and '"items"' in error.sentence:
        return "There was no table items when your revision ran. 0001_items makes it: does down_revision name that one?"
    return None


PASSED = "one line of two revisions, one head."
