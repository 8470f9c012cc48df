"""uq_users_email is valid and holds every email once; nobody was lost, and nobody had to wait."""

from migration_lab.grading import Graded, NotYet

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
    firsts = db.value("SELECT count(*) FROM users WHERE id <= 1000")
    if firsts < 1000:
        raise NotYet(f"{1000 - firsts} users of the first thousand are gone: of each pair, the first one stays.")
    seconds = db.value("SELECT count(*) FROM users WHERE id > 1000")
    if seconds:
        raise NotYet(f"{seconds} users who signed up a second time are still there.")
    held = worst_after_the_accident(db)
    if held:
        raise NotYet(f"x-ray saw {held.mode} on users, which blocks {held.blocks}: people could not sign up meanwhile.")


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
    if error.sqlstate == "25001":
        return "REINDEX CONCURRENTLY makes transactions of its own: step out of Alembic's with an autocommit_block."
    return None


PASSED = "one row for each email, a valid index, and people went on signing up."
