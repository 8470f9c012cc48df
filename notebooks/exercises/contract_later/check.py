"""users.full_name alone; and down again, names that old code can read and write."""

from migration_lab.grading import AlembicError, Graded, NotYet, WrongRows, snapshot, ways_past

EXPANDED = "0004_full_name"
OLD_SIGN_UP = "INSERT INTO users (name, email) VALUES ('Ali Reed', 'ali@example.com') RETURNING full_name"
SIGN_UP = "INSERT INTO users (full_name, email) VALUES ('Noor Khan', 'noor@example.com')"


def check(db: Graded) -> None:
    columns = db.schema.tables["users"].columns
    if "full_name" not in columns:
        raise NotYet("full_name is gone, and new code reads nothing else. It is the old column, name, that has to go.")
    if "name" in columns:
        raise NotYet(
            "users still has the column name: the next one who reads the table can't know which of the two is right."
        )
    if refused := db.refusal(SIGN_UP):
        raise NotYet(
            f"new code can't sign anybody up: {refused.diag.message_primary}. Something still looks for the old column."
        )
    if columns["full_name"].nullable:
        raise NotYet("users.full_name allows NULL now (pg_attribute.attnotnull is false); every user has a name.")
    if left := [name for name in db.schema.functions if name not in db.start.functions]:
        raise NotYet(f"{left[0]} is left, a function of no trigger. Who finds it will wonder what it is for.")
    down_again(db)


def down_again(db: Graded) -> None:
    """The way back, a week later: new code has signed somebody up and changed a name."""
    first, second = db.before["users"][-2:]
    db.session.execute(SIGN_UP)
    db.session.execute("UPDATE users SET full_name = 'Ann Smith' WHERE id = %s", [first["id"]])
    try:
        db.alembic("downgrade", EXPANDED)
    except AlembicError as error:
        raise NotYet(
            f"new code had signed somebody up and changed a name, and then the downgrade failed: {error.sentence}."
        ) from None
    if not db.rows(
        "SELECT 1 FROM pg_attribute WHERE attrelid = 'users'::regclass AND attname = 'name' AND NOT attisdropped"
    ):
        raise NotYet("the downgrade gave old code no column name, and old code reads nothing else.")
    if "full_name" not in snapshot(db.session).tables["users"].columns:
        raise NotYet(
            "the downgrade took full_name away, and new code, still at work, reads nothing else. Both columns stand after it, as before."
        )
    without = db.rows("SELECT id, full_name FROM users WHERE name IS NULL ORDER BY id")
    if without:
        user, full_name = without[0]
        raise WrongRows(
            f"{len(without)} users have no name after the downgrade, such as user {user}, {full_name!r}. "
            "full_name knows them all: give them back."
        )
    others = db.rows("SELECT id, name, full_name FROM users WHERE name <> full_name ORDER BY id")
    if others:
        user, name, full_name = others[0]
        raise WrongRows(
            f"after the downgrade, the name of {len(others)} users is not what full_name says: user {user} is {name!r} in name, "
            f"and {full_name!r} in full_name."
        )
    followed = db.value("UPDATE users SET name = 'Ben Miller' WHERE id = %s RETURNING full_name", second["id"])
    if followed != "Ben Miller":
        raise NotYet(
            "after the downgrade old code wrote a name, and full_name did not follow: the trigger has to come back too."
        )
    if refused := db.refusal(OLD_SIGN_UP):
        raise NotYet(f"after the downgrade old code can't sign anybody up: {refused.diag.message_primary}.")
    if db.value(OLD_SIGN_UP) != "Ali Reed":
        raise NotYet("after the downgrade old code signed somebody up, and their full_name is another than their name.")
    if db.value("UPDATE users SET full_name = 'Cy Moss' WHERE id = %s RETURNING name", second["id"]) != "Cy Moss":
        raise NotYet(
            "after the downgrade new code, still at work, wrote a full_name, and old readers see the name of before."
        )
    for column, other in (("name", "full_name"), ("full_name", "name")):
        una = {column: "Una", "email": "una@example.com"}
        if ways := ways_past(db, "users", {column: "Cy Moss"}, una, f"{other} = 'Cy Moss'"):
            raise NotYet(f"after the downgrade, {other} does not follow a {column} that is written by {ways}.")
    db.session.execute("DELETE FROM users WHERE email = 'noor@example.com'")
    db.session.execute("UPDATE users SET full_name = %s WHERE id = %s", [first["full_name"], first["id"]])
    db.alembic("upgrade", "head")


PASSED = "one name for the name, and a way back that loses nobody's."
