"""uq_users_email is valid and holds every email once; nobody was lost, and nobody had to wait."""

from migration_lab.grading import AlembicError, Graded, NotYet, WrongRows

INDEX, GIVEN = "uq_users_email", "0004_last_night"
WRITE = "UPDATE users SET name = name WHERE id = {}"
GAVE_UP = ("55P03", "57014")  # lock_not_available, query_canceled


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
    beside_a_slow_writer(db)


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
        if GIVEN not in transaction.revisions:
            for held in transaction.held:
                if held.relation == "public.users" and held.blocks in ("writes", "reads and writes"):
                    return held
    return None


def beside_a_slow_writer(db: Graded) -> None:
    """Repair it once more, while somebody's transaction is open for some seconds: whoever comes next must not wait for that."""
    first, second = (user["id"] for user in db.before["users"][:2])
    db.session.execute(f"DROP INDEX {INDEX}")
    db.leave_invalid(f"CREATE UNIQUE INDEX CONCURRENTLY {INDEX} ON users (email)", WRITE.format(first))
    db.alembic("stamp", GIVEN)
    try:
        waited = db.upgrade_beside_writers(WRITE.format(first), WRITE.format(second))[1]
    except AlembicError as error:
        if error.sqlstate not in GAVE_UP:
            raise
        raise NotYet(
            f"a writer had a transaction open for some seconds, so the migration gave up ({error.sentence}). Building an index has "
            "to wait for writers; nobody waits for it meanwhile, so it may take its time."
        ) from None
    if waited > 1:
        raise NotYet(
            f"somebody's transaction was open, and a write that came meanwhile waited {waited:.1f} s behind the migration: only "
            "what is built CONCURRENTLY lets people sign up."
        )


def explain(error) -> str | None:
    if error.sqlstate == "23505":
        return "The duplicates have to go first: an index can't become unique over rows that are not."
    return None


PASSED = "one row for each email, a valid index, and people went on signing up."
