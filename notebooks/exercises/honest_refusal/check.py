"""The downgrade gives every user's age back, or refuses: in words, and before it has touched anything."""

import re

from migration_lab.grading import AlembicError, Graded, NotYet, WrongRows, diff, quoted, snapshot

USERS = "SELECT id, name, email, age_group FROM users ORDER BY id"
VERSION = "SELECT version_num FROM alembic_version"
RAISED_IN_SQL = ("P0001", "0A000")  # raise_exception, feature_not_supported
ACCIDENT = re.compile(r"(Name|Attribute|Type|Key|Index|Syntax|Indentation|Import|ModuleNotFound|ZeroDivision)Error\b")
UNFINISHED = re.compile(r"(NotImplementedError|AssertionError)\b")
# What somebody can look up who reads the error: the column that is gone, or the revision that took it.
NAMED = re.compile(
    r"0004_age_group|\busers\W{1,3}age\b|\bcolumn\W{1,3}age\b|\bage\W{1,3}column\b|[`'\"]age[`'\"]", re.IGNORECASE
)


def check(db: Graded) -> str:
    goal(db)
    moved = db.before["users"][-1]
    db.session.execute("UPDATE users SET email = %s WHERE id = %s", [f"moved.{moved['email']}"[:200], moved["id"]])
    users, version = db.rows(USERS), db.value(VERSION)
    try:
        db.alembic("downgrade", db.start_revision)
    except AlembicError as error:
        return refused(db, error, users, version)
    given_back(db)
    return "every age is back, and the schema is what it was."


def goal(db: Graded) -> None:
    columns = db.schema.tables["users"].columns
    if "age" in columns or "age_group" not in columns:
        raise NotYet("after the upgrade users should have a column age_group and none called age: upgrade() did that.")
    more = [name for name in columns if name != "age_group" and name not in db.start.tables["users"].columns]
    if more:
        raise NotYet(
            f"after the upgrade users still holds {', '.join(more)}, which every SELECT * shows. "
            "What is kept for the way back stands aside, in a table that can be dropped by itself."
        )
    now = dict(db.rows("SELECT id, age_group FROM users"))
    wrong = [user for user in db.before["users"] if now.get(user["id"]) != group(user["age"])]
    if wrong:
        user, age = wrong[0]["id"], wrong[0]["age"]
        raise WrongRows(
            f"after the upgrade {len(wrong)} users are in another age group than theirs: user {user} was {age}, and is in "
            f"{now.get(user)!r}. upgrade() had that right."
        )


def group(age: str | None) -> str | None:
    """The age group that upgrade() puts an age into."""
    if age is None:
        return None
    return "18 to 39" if int(age) < 40 else "40 to 64" if int(age) < 65 else "65 and over"


def refused(db: Graded, error: AlembicError, users: list, version: str) -> str:
    changes = [str(change) for change in diff(db.schema, snapshot(db.session))]
    if db.value(VERSION) != version:
        changes.append(f"alembic_version is {db.value(VERSION)}, was {version}")
    if not changes and db.rows(USERS) != users:
        changes.append("rows of users were changed")
    if changes:
        raise NotYet(
            "the downgrade refused, but not before it had changed the database:"
            + "".join(f"\n  - {change}" for change in changes)
            + "\n  Now it is neither here nor there. Refuse first."
        )
    if error.sqlstate not in (None, *RAISED_IN_SQL) or ACCIDENT.match(error.sentence):
        raise NotYet(
            f"the downgrade failed by accident:\n{quoted(error)}\n"
            "  Whoever reads that looks for a mistake of theirs. Raise an error of your own."
        )
    if UNFINISHED.match(error.sentence):
        raise NotYet(
            f"the downgrade ends with an error that says it is unfinished:\n{quoted(error)}\n"
            "  Whoever reads that finishes it. A refusal is a decision: raise a RuntimeError that says so."
        )
    if not NAMED.search(error.sentence):
        raise NotYet(
            f"the downgrade refuses, as it may, but its error names nothing that one could look up:\n{quoted(error)}\n"
            "  Somebody reads it at three in the morning. Name users.age, or 0004_age_group, which has dropped it."
        )
    try:
        db.alembic("upgrade", "head")
    except AlembicError as stuck:
        raise NotYet(f"after the refusal `alembic upgrade head` fails too:\n{quoted(stuck)}") from None
    return (
        "the downgrade refused, and nothing has changed. No check can judge its words, so judge them yourself. "
        f"This is what somebody reads in an incident:\n{quoted(error)}\n"
        "  Does it say what is lost, and what to do instead?"
    )


def given_back(db: Graded) -> None:
    after = snapshot(db.session)
    if "age" not in after.tables["users"].columns:
        raise NotYet(
            f"the downgrade reports success, alembic_version says {db.value(VERSION)}, and users has no column age. "
            "The old code, which is rolled back because it worked, fails at its first SELECT."
        )
    now = dict(db.rows("SELECT id, age::text FROM users"))
    missing = [user for user in db.before["users"] if user["age"] is not None and now.get(user["id"]) is None]
    if missing:
        user, was = missing[0]["id"], missing[0]["age"]
        raise WrongRows(
            f"the downgrade reports success, and {len(missing)} users have no age (NULL) who had one: that of user {user} was {was!r}. "
            "An empty column looks like a way back and is none."
        )
    invented = [user for user in db.before["users"] if now.get(user["id"]) != user["age"]]
    if invented:
        user, was = invented[0]["id"], invented[0]["age"]
        raise WrongRows(
            f"the downgrade reports success, and {len(invented)} users have an age that they never gave: "
            f"user {user} has {now[user]!r}, and had {was!r}. An invented value is worse than none: it looks true."
        )
    moved = db.before["users"][-1]
    db.session.execute("UPDATE users SET email = %s WHERE id = %s", [moved["email"], moved["id"]])
    if changes := diff(db.start, after):
        raise NotYet(
            "every age is back, but the schema is not what it was before the upgrade:"
            + "".join(f"\n  - {change}" for change in changes)
            + "\n  downgrade() takes back all that upgrade() did, and no more."
        )
    try:
        db.alembic("upgrade", "head")
    except AlembicError as error:
        raise NotYet(f"up and down work once, but the second upgrade failed.\n{quoted(error)}") from None
