"""One head, and a way to it from every database that is out there: at neither revision, at one, at the other, at both."""

import re

from migration_lab.grading import AlembicError, Graded, NotYet

DEPLOYED = {
    "0004_phone": "ALTER TABLE users ADD COLUMN phone varchar(20)",
    "0004_city": "ALTER TABLE users ADD COLUMN city varchar(50)",
}
GIVEN = "CASE WHEN id % 3 = 1 THEN 'no. ' || id END"  # what people have written since


def check(db: Graded) -> None:
    for deployed in (["0004_phone"], ["0004_city"], list(DEPLOYED)):
        from_deployed(db, deployed)


def from_deployed(db: Graded, deployed: list[str]) -> None:
    """Upgrade a database that had applied these revisions as they were delivered."""
    name = " and ".join(deployed)
    pretend(db, deployed)
    try:
        db.alembic("upgrade", "head")
    except AlembicError as error:
        why = db.meaning(error) or ""
        if "locate revision" in error.sentence:
            why = (
                "Its alembic_version names a revision, and Alembic looks for that file under that id. Leave applied files as "
                "they are."
            )
        raise NotYet(
            f"a new database reaches the head, but one that had applied {name} does not: {error.sentence}\n  {why}".rstrip()
        ) from None
    columns = {row[0] for row in db.rows("SELECT attname FROM pg_attribute WHERE attrelid = 'users'::regclass")}
    if missing := [column for column in ("phone", "city") if column not in columns]:
        raise NotYet(
            f"a database that had applied {name} has no users.{missing[0]} after `upgrade head`, and says that it is at the head. "
            "Its past can't be edited: what now stands before a revision that it has, it will never run. Leave both files as they are."
        )
    for revision in deployed:
        column = revision.removeprefix("0004_")
        if db.value(f"SELECT count(*) FROM users WHERE {column} IS DISTINCT FROM {GIVEN}"):
            raise NotYet(
                f"a database that had applied {name} has lost what people had written in users.{column}: the revision that "
                "joins the two has nothing to do itself."
            )


def pretend(db: Graded, deployed: list[str]) -> None:
    """Bring the database to where a deployed one stands, without the learner's files."""
    for column in ("phone", "city"):
        db.session.execute(f"ALTER TABLE users DROP COLUMN IF EXISTS {column}")
    db.session.execute("DELETE FROM alembic_version")
    for revision in deployed:
        db.session.execute(DEPLOYED[revision])
        db.session.execute(f"UPDATE users SET {revision.removeprefix('0004_')} = {GIVEN}")
        db.session.execute("INSERT INTO alembic_version VALUES (%s)", [revision])


def explain(error: AlembicError) -> str | None:
    if "Multiple head revisions" in error.sentence:
        return (
            "There are still two heads, and `head` means one. `upgrade heads` would apply both and leave it at that: "
            "the next migration would not know which one to follow. One revision has to follow both."
        )
    if error.sqlstate == "42701" and re.search('"(phone|city)"', error.sentence):
        return "The parents add these columns. A merge joins their histories and has nothing to do itself."
    return None


PASSED = "one head, and databases at either of the two, at both or at neither come to it."
