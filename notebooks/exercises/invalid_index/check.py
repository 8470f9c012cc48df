"""uq_users_email is valid and holds every email once; nobody was lost, and nobody had to wait."""

from migration_lab.grading import Graded, NotYet, WrongRows

INDEX = "uq_users_email"


def check(db: Graded) -> None:
    index = db.schema.tables["users"].indexes.get(INDEX)
    if index is None:
        raise NotYet(f"users has no index {INDEX} any more: two people may sign up with one email again.")
    if not index.valid:
        raise NotYet(
            f"{INDEX} is still INVALID (pg_index.indisvalid is false): no query uses it, and it keeps no email single. "
            "IF NOT EXISTS only looks at the name, and REINDEX TABLE CONCURRENTLY passes over what is INVALID: name the index."
        )
    if not index.unique or index.columns != ("email",) or index.predicate:
        raise NotYet(f"{INDEX} is not what it should be, unique on (email): {index.definition}.")
    first_ones_alone_are_there(db)
    held = worst_after_the_accident(db)
    if held:
        taker = db.trace.taken_by(held).in_short
        raise NotYet(
            f"x-ray saw that `{taker}` took {held.mode} on users, which blocks {held.blocks}: people could not sign up meanwhile."
        )


def first_ones_alone_are_there(db: Graded) -> None:
    first: dict[str, int] = {}
    for user in db.before["users"]:  # in the order of their ids
        first.setdefault(user["email"], user["id"])
    now = dict(db.rows("SELECT id, email FROM users"))
    gone = [(user, email) for email, user in first.items() if now.get(user) != email]
    if gone:
        user, email = gone[0]
        raise WrongRows(
            f"{len(gone)} users are gone who were the first of their pair, or alone, or their email is another: user {user}, {email}. "
            "Of each pair, the first one stays as it is."
        )
    second = [user["id"] for user in db.before["users"] if user["id"] in now and first[user["email"]] != user["id"]]
    if second:
        raise WrongRows(f"{len(second)} users who signed up a second time are still there, such as user {second[0]}.")


def worst_after_the_accident(db: Graded):
    for transaction in db.trace.transactions:
        if "0005_repair" in transaction.revisions:
            for held in transaction.held:
                if held.relation == "public.users" and held.blocks in ("writes", "reads and writes"):
                    return held
    return None


def explain(error) -> str | None:
    if error.sqlstate == "23505":
        return "The duplicates have to go first: an index can't become unique over rows that are not."
    return None


PASSED = "one row for each email, a valid index, and people went on signing up."
