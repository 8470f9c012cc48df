"""The reviews of users who are gone stand aside, whole; the others are held to a key that is proved; and there is a way back."""

from migration_lab.grading import AlembicError, Graded, NotYet, WrongRows, ways_to_orphan

KEY, ASIDE = "fk_reviews_user_id", "reviews_of_nobody"
USER = {"name": "Una", "email": "una@example.com"}


def check(db: Graded) -> None:
    nothing_is_invented(db)
    rest_is_there(db)
    orphans_are_kept(db)
    key_is_proved(db)
    way_back(db)


def reviews(db: Graded, table: str = "reviews") -> list[tuple]:
    return db.rows(f"SELECT id, user_id, body FROM {table} ORDER BY id")


def reviews_before(db: Graded) -> list[tuple]:
    return [(review["id"], review["user_id"], review["body"]) for review in db.before["reviews"]]


def orphans(db: Graded) -> list[tuple]:
    """The reviews whose user was not there before the upgrade."""
    users = {user["id"] for user in db.before["users"]}
    return [review for review in reviews_before(db) if review[1] not in users]


def nothing_is_invented(db: Graded) -> None:
    were, are = {user["id"] for user in db.before["users"]}, {user for (user,) in db.rows("SELECT id FROM users")}
    if more := sorted(are - were):
        raise WrongRows(
            f"the table users has {len(more)} users who never signed up, such as user {more[0]}: they were made for the key's sake. "
            "Every count and every newsletter takes them for people."
        )
    if gone := sorted(were - are):
        raise WrongRows(
            f"{len(gone)} users are gone, such as user {gone[0]}. They had nothing to do with the reviews that belong to nobody."
        )
    now = {row: (user, body) for row, user, body in reviews(db)}
    for row, was, _ in orphans(db):
        user = now.get(row, (was, ""))[0]
        if user is None:
            raise WrongRows(
                f"review {row} has no user now (NULL). It was user {was}'s; now it and others like it belong to nobody at all, "
                f"and reviews takes such rows from now on. The task asks for them in {ASIDE}."
            )
        if user != was:
            raise WrongRows(
                f"review {row} belongs to user {user} now, who never wrote it: it was user {was}'s. A key is no reason to invent."
            )


def rest_is_there(db: Graded) -> None:
    now, aside = set(reviews(db)), orphans(db)
    lost = [review for review in reviews_before(db) if review not in aside and review not in now]
    if lost:
        row, user, body = lost[0]
        raise WrongRows(
            f"{len(lost)} reviews that have a user are gone from reviews, or changed: review {row} of user {user}, {body!r}. "
            "Only those of nobody were in the key's way."
        )


def orphans_are_kept(db: Graded) -> None:
    now = reviews(db)
    there = [review for review in orphans(db) if review in now]
    table = db.schema.tables.get(ASIDE)
    if there:
        key = db.schema.tables["reviews"].constraints.get(KEY)
        does = f"{KEY} holds new rows to the rule, and nothing more: the" if key else f"there is no {KEY}, and the"
        raise WrongRows(
            f"{does} {len(there)} reviews of users who are gone still stand in reviews, such as review {there[0][0]} of user "
            f"{there[0][1]}. They should be in {ASIDE}, for support to look at."
        )
    if table is None:
        raise NotYet(
            f"the {len(orphans(db))} reviews of users who are gone were deleted, and there is no table {ASIDE} that has kept them. "
            "Nobody can tell any more what they said, or that they were there."
        )
    missing = [column for column in ("id", "user_id", "body") if column not in table.columns]
    if missing:
        raise NotYet(f"the rows were not kept whole: {ASIDE} has no {' and no '.join(missing)}.")
    kept = reviews(db, ASIDE)
    if differing := sorted(set(kept) ^ set(orphans(db)), key=str):
        raise WrongRows(
            f"{ASIDE} should hold the {len(orphans(db))} reviews of users who are gone as they were, and no other. It holds "
            f"{len(kept)} rows, and review {differing[0][0]} is missing there, is another one or says something else."
        )
    if len(kept) != len(set(kept)):
        raise NotYet(f"{ASIDE} holds {len(kept)} rows, and {len(kept) - len(set(kept))} of them twice.")


def key_is_proved(db: Graded) -> None:
    key = db.schema.tables["reviews"].constraints.get(KEY)
    if key is None or key.referred_table != "users" or key.columns != ("user_id",):
        raise NotYet(f"reviews has no foreign key {KEY} from user_id to users after the upgrade.")
    if not key.validated:
        raise NotYet(
            f"{KEY} is NOT VALID (pg_constraint.convalidated is false), and nothing is left to stop VALIDATE. "
            "Until then neither people nor the planner may rely on it."
        )
    review = {"user_id": db.before["users"][-1]["id"], "body": "Fine"}
    if ways := ways_to_orphan(db, "reviews", "user_id", "users", review, USER):
        raise NotYet(f"a review by a user who is not there gets in by {ways}, although {KEY} stands in the table.")


def way_back(db: Graded) -> None:
    try:
        db.alembic("downgrade", "0004_reviews")
    except AlembicError:
        return  # the round trip tells it better
    now = set(reviews(db))
    if gone := [review for review in reviews_before(db) if review not in now]:
        row, user, body = gone[0]
        raise WrongRows(
            f"after the downgrade {len(gone)} reviews are not in reviews again as they were, such as review {row} of user {user}, "
            f"{body[:60]!r}. Who rolls back wants the table as it stood, with ids and texts."
        )
    try:
        db.alembic("upgrade", "head")
    except AlembicError:
        return


def explain(error) -> str | None:
    if error.sqlstate == "23503" and '"reviews"' in error.sentence:
        return (
            f"So some reviews refer to users who are not there. Deal with those rows first, then {KEY} can be proved."
        )
    return None


PASSED = "who reviewed is known of every review, what belongs to nobody is kept aside, and the way back gives it back."
