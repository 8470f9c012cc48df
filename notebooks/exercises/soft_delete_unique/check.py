"""One open account for each email, and any number of closed ones."""

import psycopg

from migration_lab.grading import AlembicError, Graded, NotYet, WrongRows, quoted, ways_in

INDEX, GIVEN = "uq_users_email", "0004_closed_accounts"
OPEN = "INSERT INTO users (name, email) SELECT name || ' again', email FROM users WHERE id = {}"
CLOSE = "UPDATE users SET deleted_at = {} WHERE id = {}"


def check(db: Graded) -> None:
    users = db.schema.tables["users"]
    index = users.indexes.get(INDEX)
    if index is None:
        raise NotYet(
            f"users has no index {INDEX} after the upgrade, and what keeps the rule should be found by that name."
        )
    still_open = [user for user in db.before["users"] if not user["deleted_at"]]
    taken = {user["email"] for user in still_open}
    closed = [user for user in db.before["users"] if user["deleted_at"] and user["email"] not in taken]
    for user in (still_open[0], still_open[-1]):
        if db.refusal(OPEN.format(user["id"])) is None:
            raise WrongRows(
                f"the email of user {user['id']}, {user['email']}, has an open account and got a second one. {why_accepted(index)}"
            )
    for user in closed:
        if refused := db.refusal(OPEN.format(user["id"])):
            raise WrongRows(
                f"user {user['id']} can't come back: {refused.diag.message_primary}."
                + " The account of that email is closed, and a closed account should not be in the way of a new one."
                * is_a_double(refused)
            )
    comes_and_goes(db, index, closed[-1], still_open[-1]["id"])
    guest = {"name": "Una", "email": "una@example.com", "deleted_at": None}
    if ways := ways_in(db, "users", {"email": still_open[0]["email"], "deleted_at": None}, guest):
        raise NotYet(
            f"an email that has an open account got a second one by {ways}: the rule holds some users, and not all."
        )
    if two_at_once(db, closed[-1]["id"]):
        raise NotYet(
            "two sessions opened an account for one email in the same moment, and both got it: what looks before it writes, as a "
            "trigger does, can't see what another session has not committed. A unique index waits for it."
        )
    who_came_back_before(db, closed[-1])


def who_came_back_before(db: Graded, closed: dict) -> None:
    """Once more up, where an email has a closed account and an open one already: both stay."""
    db.downgrade(GIVEN)
    back = db.session.execute(f"{OPEN.format(closed['id'])} RETURNING id").fetchone()[0]
    try:
        db.alembic("upgrade", "head")
    except AlembicError as error:
        raise NotYet(
            f"user {closed['id']} had closed their account and come back as user {back} before the upgrade, which may be so, and it "
            f"failed.\n{quoted(error)}"
        ) from None
    if {closed["id"], back} - {user for (user,) in db.rows("SELECT id FROM users")}:
        raise NotYet(
            f"user {closed['id']} had closed their account and come back as user {back} before the upgrade; one of the two rows is "
            "gone after it. The rule is broken by neither: they stay."
        )
    db.session.execute("DELETE FROM users WHERE id = %s", [back])


def comes_and_goes(db: Graded, index, closed: dict, still_open: int) -> None:
    """Somebody comes back and closes the new account too, on the day of the first time; somebody else goes and comes back."""
    comes = OPEN.format(closed["id"])
    again = CLOSE.format(f"'{closed['deleted_at']}'", "(SELECT max(id) FROM users)")
    if refused := db.refusal(f"{comes}; {again}"):
        raise NotYet(
            f"who came back can't be closed a second time, at the moment of the first: {refused.diag.message_primary}."
            + " Of closed accounts an email may have any number: the rule is not about them." * is_a_double(refused)
        )
    goes = CLOSE.format("'2026-01-27 18:00:00+00'", still_open)
    if refused := db.refusal(f"{goes}; {OPEN.format(still_open)}"):
        raise NotYet(
            f"who closes an account today can't open another: {refused.diag.message_primary}. "
            f"{INDEX} should speak of open accounts, whoever they belong to: {index.definition}."
        )
    if db.refusal(f"{comes}; {CLOSE.format('NULL', closed['id'])}") is None:
        raise NotYet(
            f"user {closed['id']} came back with a new account, then the old one was opened again (UPDATE): one email, two open "
            "accounts."
        )


def is_a_double(refused: psycopg.Error) -> bool:
    """Whether a unique index or an exclusion constraint refused it."""
    return refused.sqlstate in ("23505", "23P01")


def two_at_once(db: Graded, user: int) -> bool:
    with db.connect() as one, db.connect() as other:
        one.execute("BEGIN")
        one.execute(OPEN.format(user))
        other.execute("BEGIN")
        other.execute("SET LOCAL lock_timeout = '200ms'")
        try:
            other.execute(OPEN.format(user))
        except psycopg.Error:
            return False
        finally:
            other.execute("ROLLBACK")
            one.execute("ROLLBACK")
    return True


def why_accepted(index) -> str:
    if not index.unique:
        return f"{INDEX} is not unique: {index.definition}. It makes a search faster, and forbids nothing."
    if "deleted_at" in index.columns:
        return "deleted_at is NULL in both, and no NULL equals another: a key with a NULL in it never collides."
    if index.columns == ("email",) and index.predicate:
        return f"{INDEX} looks at other rows than those of open accounts: WHERE {index.predicate}."
    return f"{INDEX} has more than the email in its key, or something else: {index.definition}."


PASSED = "one open account for each email, and whoever has closed one is welcome back."
