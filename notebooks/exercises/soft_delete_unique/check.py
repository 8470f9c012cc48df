"""One open account for each email, and any number of closed ones."""

import psycopg

from migration_lab.grading import Graded, NotYet, ways_in

INDEX = "uq_users_email"
OPEN = "INSERT INTO users (name, email) SELECT name || ' again', email FROM users WHERE id = {}"
CLOSE = "UPDATE users SET deleted_at = '2026-01-25 20:00:00+00' WHERE id > 1000"  # the day on which user 10 had gone
COME_AND_GO = f"{OPEN.format(10)}; {CLOSE}"
REOPEN = f"{OPEN.format(10)}; UPDATE users SET deleted_at = NULL WHERE id = 10"
GO_AND_COME = f"UPDATE users SET deleted_at = '2026-01-27 18:00:00+00' WHERE id = 20; {OPEN.format(20)}"


def check(db: Graded) -> None:
    users = db.schema.tables["users"]
    index = users.indexes.get(INDEX)
    if index is None:
        raise NotYet(
            f"users has no index {INDEX} after the upgrade, and what keeps the rule should be found by that name."
        )
    if db.refusal(OPEN.format(20)) is None:
        raise NotYet(f"an email that has an open account got a second one. {why_accepted(index)}")
    refused = db.refusal(OPEN.format(10))
    if refused:
        raise NotYet(
            f"user 10 can't come back: {refused.diag.message_primary}. The account of that email is closed, "
            "and a closed account should not be in the way of a new one."
        )
    refused = db.refusal(COME_AND_GO)
    if refused:
        raise NotYet(
            f"who came back can't be closed a second time: {refused.diag.message_primary}. "
            "Of closed accounts an email may have any number: the rule is not about them."
        )
    refused = db.refusal(GO_AND_COME)
    if refused:
        raise NotYet(
            f"who closes an account today can't open another: {refused.diag.message_primary}. "
            f"{INDEX} should speak of open accounts, whoever they belong to: {index.definition}."
        )
    if db.refusal(REOPEN) is None:
        raise NotYet(
            "user 10 came back with a new account, then the old one was opened again (UPDATE): one email, two open accounts."
        )
    taken = db.value("SELECT email FROM users WHERE id = 20")
    guest = {"name": "Una", "email": "una@example.com", "deleted_at": None}
    if ways := ways_in(db, "users", {"email": taken, "deleted_at": None}, guest):
        raise NotYet(
            f"an email that has an open account got a second one by {ways}: the rule holds some users, and not all."
        )
    if two_at_once(db):
        raise NotYet(
            "two sessions opened an account for one email in the same moment, and both got it: what looks before it writes, as a "
            "trigger does, can't see what another session has not committed. A unique index waits for it."
        )


def two_at_once(db: Graded) -> bool:
    with db.connect() as one, db.connect() as other:
        one.execute("BEGIN")
        one.execute(OPEN.format(10))
        other.execute("BEGIN")
        other.execute("SET LOCAL lock_timeout = '200ms'")
        try:
            other.execute(OPEN.format(10))
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
