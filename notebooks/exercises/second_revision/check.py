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
    said = error.sentence
    if "present more than once" in error.printed:
        return "Both files give the same revision id. Each revision has an id of its own."
    if "Multiple head" in said:
        return "Two revisions follow nothing, so there are two ends: Alembic does not guess which you mean. One has to name the other."
    if "Cycle" in said or "Self-loop" in said:
        return "The revision follows itself. down_revision names the one before it."
    if "KeyError" in said:
        return (
            "down_revision names a revision that is in no file. It takes the id, `revision = …`, not the file's name."
        )
    if error.sqlstate == "22001":
        return "The revision id has more than 32 characters, and alembic_version.version_num holds 32. Choose a shorter one."
    if "not allowed in revision" in said:
        return "Alembic's command line gives that sign a meaning of its own. Letters, digits and _ are safe."
    if error.sqlstate == "42P01":
        return "There is no table items yet: nothing says that 0001_items comes first."
    return None


PASSED = "one line of two revisions, one head."
