"""The reviews of users who are gone stand aside, whole; the others are held to a key that is proved; and there is a way back."""

from migration_lab.grading import AlembicError, Graded, NotYet, ways_to_orphan

KEY, ASIDE = "fk_reviews_user_id", "reviews_of_nobody"
REVIEWS = [(n, 5000 + n if n % 50 == 0 else n, f"Review {n}") for n in range(1, 301)]  # as 0004_reviews made them
ORPHANS = [review for review in REVIEWS if review[1] > 5000]
KEPT = [review for review in REVIEWS if review[1] <= 5000]
USERS = 1000
REVIEW = {"user_id": 7, "body": "Fine"}
USER = {"name": "Una", "email": "una@example.com"}


def check(db: Graded) -> None:
    nothing_is_invented(db)
    rest_is_there(db)
    orphans_are_kept(db)
    key_is_proved(db)
    way_back(db)


def reviews(db: Graded, table: str = "reviews") -> list[tuple]:
    return db.rows(f"SELECT id, user_id, body FROM {table} ORDER BY id")


def nothing_is_invented(db: Graded) -> None:
    more = db.value("SELECT count(*) FROM users") - USERS
    if more > 0:
        raise NotYet(
            f"the table users has {more} users who never signed up: they were made for the key's sake. "
            "Every count and every newsletter takes them for people."
        )
    if more < 0:
        raise NotYet(f"{-more} users are gone. They had nothing to do with the reviews that belong to nobody.")
    now = {row: (user, body) for row, user, body in reviews(db)}
    for row, was, _ in ORPHANS:
        user = now.get(row, (was, ""))[0]
        if user is None:
            raise NotYet(
                f"review {row} has no user now (NULL). It was user {was}'s; now it and others like it belong to nobody at all, "
                f"and reviews takes such rows from now on. The task asks for them in {ASIDE}."
            )
        if user != was:
            raise NotYet(
                f"review {row} belongs to user {user} now, who never wrote it: it was user {was}'s. A key is no reason to invent."
            )


def rest_is_there(db: Graded) -> None:
    now = reviews(db)
    lost = [review for review in KEPT if review not in now]
    if lost:
        raise NotYet(
            f"{len(lost)} reviews that have a user are gone from reviews, or changed. Only those of nobody were in the key's way."
        )


def orphans_are_kept(db: Graded) -> None:
    there = [review for review in ORPHANS if review in reviews(db)]
    table = db.schema.tables.get(ASIDE)
    if there:
        key = db.schema.tables["reviews"].constraints.get(KEY)
        does = f"{KEY} holds new rows to the rule, and nothing more: the" if key else f"there is no {KEY}, and the"
        raise NotYet(
            f"{does} {len(there)} reviews of users who are gone still stand in reviews. They should be in {ASIDE}, for support to look at."
        )
    if table is None:
        raise NotYet(
            f"the {len(ORPHANS)} reviews of users who are gone were deleted, and there is no table {ASIDE} that has kept them. "
            "Nobody can tell any more what they said, or that they were there."
        )
    missing = [column for column in ("id", "user_id", "body") if column not in table.columns]
    if missing:
        raise NotYet(f"the rows were not kept whole: {ASIDE} has no {' and no '.join(missing)}.")
    kept = reviews(db, ASIDE)
    if kept != ORPHANS:
        raise NotYet(
            f"{ASIDE} holds {len(kept)} rows, and should hold the {len(ORPHANS)} reviews of users who are gone as they were, and no other."
        )


def key_is_proved(db: Graded) -> None:
    key = db.schema.tables["reviews"].constraints.get(KEY)
    if key is None or key.referred_table != "users" or key.columns != ("user_id",):
        raise NotYet(f"reviews has no foreign key {KEY} from user_id to users after the upgrade.")
    if not key.validated:
        raise NotYet(
            f"{KEY} is NOT VALID (pg_constraint.convalidated is false), and nothing is left to stop VALIDATE. "
            "Until then neither people nor the planner may rely on it."
        )
    if ways := ways_to_orphan(db, "reviews", "user_id", "users", REVIEW, USER):
        raise NotYet(f"a review by a user who is not there gets in by {ways}, although {KEY} stands in the table.")


def way_back(db: Graded) -> None:
    try:
        db.alembic("downgrade", "0004_reviews")
    except AlembicError:
        return  # the round trip tells it better
    if reviews(db) != REVIEWS:
        raise NotYet(
            f"after the downgrade the {len(ORPHANS)} reviews of users who are gone are not in reviews again as they were. "
            "Who rolls back wants the table as it stood: put them back before the table aside is dropped."
        )
    try:
        db.alembic("upgrade", "head")
    except AlembicError:
        return


def explain(error) -> str | None:
    if error.sqlstate == "23503":
        return (
            f"So some reviews refer to users who are not there. Deal with those rows first, then {KEY} can be proved."
        )
    return None


PASSED = "who reviewed is known of every review, what belongs to nobody is kept aside, and the way back gives it back."
