"""Down leaves neither the table nor its type, takes nothing of the parcels along, and up works again."""

from migration_lab.grading import AlembicError, Graded, NotYet, diff, snapshot

BEFORE = "0004_parcels"
RETURN = "INSERT INTO returns (id, reason, size) VALUES (7, 'late', 'small')"
PARCEL = "INSERT INTO parcels (id, size) SELECT max(id) + 1, 'small' FROM parcels"


def check(db: Graded) -> None:
    if "returns" not in db.schema.tables:
        raise NotYet(
            "there is no table returns after the upgrade. upgrade() was right as it stood: the task is downgrade()."
        )
    refused = db.refusal(RETURN)
    if refused:
        raise NotYet(
            f"returns does not take a return that came late: {refused.diag.message_primary}. upgrade() was right as it stood."
        )
    go_down(db)
    parcels_still_work(db)
    left = snapshot(db.session)
    if "returns" in left.tables:
        raise NotYet(
            "after the downgrade the table returns is still there. downgrade() takes back all that upgrade() made."
        )
    kept = "return_reason" in left.types
    if not kept and (more := db.otherwise_than_given()):
        raise NotYet(
            f"upgrade() no longer does what it did: {more[0]}. It was right as it stood: the task is downgrade()."
        )
    try:
        db.alembic("upgrade", "head")
    except AlembicError as error:
        why = "the type return_reason was still there after the downgrade." if kept else db.meaning(error) or ""
        raise NotYet(f"the second upgrade fails ({error.sentence}): {why}".rstrip(": ")) from None
    if kept:
        raise NotYet(
            "after the downgrade the type return_reason is still there. upgrade() made it, so downgrade() drops it."
        )
    if changes := diff(db.schema, snapshot(db.session)):
        raise NotYet(f"the second upgrade leads elsewhere than the first: {changes[0]}.")


def go_down(db: Graded) -> None:
    try:
        db.alembic("downgrade", BEFORE)
    except AlembicError as error:
        if error.sqlstate == "2BP01" and "type size" in error.sentence:
            raise NotYet(
                "the downgrade was refused: it wants to drop the type size, and the parcels use it. It was there before this "
                "revision, so it stays. (CASCADE, as the server hints, would take parcels.size along.)"
            ) from None
        if error.sqlstate == "2BP01" and "drop type" in error.sentence:
            raise NotYet(
                f"the downgrade was refused ({error.sentence}): a type is in use, and its last column has to go before it."
            ) from None
        raise NotYet(f"the downgrade failed: {error.sentence}.") from None


def parcels_still_work(db: Graded) -> None:
    """The code of the parcels knows nothing of returns, and inserts as ever."""
    now = snapshot(db.session).tables
    if "parcels" not in now or "size" not in now["parcels"].columns:
        raise NotYet(
            "the downgrade dropped a column elsewhere: parcels.size is gone, with what was in it. "
            "The type size was there before this revision, and CASCADE takes along whoever uses it."
        )
    refused = db.refusal(PARCEL)
    if refused:
        raise NotYet(f"after the downgrade a parcel can't be entered any more: {refused.diag.message_primary}.")
    if lost := db.lost_on_the_way_back():
        raise NotYet(f"after the downgrade {lost[0]}. The parcels have nothing to do with returns.")


PASSED = "down leaves no type, up works again, and the parcels kept theirs."
