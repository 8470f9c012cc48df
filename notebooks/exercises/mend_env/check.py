"""env.py saves what it runs, revision by revision, and does not wait long for a lock."""

import random
from collections.abc import Callable

from migration_lab.grading import AlembicError, Graded, NotYet, Trace, snapshot

LOCKED = (4.5, 6.0)  # seconds after the migration has begun to wait
PATIENCE = 1.2
GAVE_UP = "55P03"
FIRST, SECOND = "0004_phone", "0005_city"


def check(db: Graded) -> None:
    missing = [name for name in ("phone", "city") if name not in db.schema.tables["users"].columns]
    if missing:
        raise NotYet(
            f"exit status 0, and nothing saved: users has no {' and no '.join(missing)}. "
            "Alembic leaves a transaction that is open at configure() to whoever began it, as the SET did, and nobody committed after "
            "the migrations. End the SET's transaction before configure()."
        )
    for transaction in db.trace.transactions:
        if transaction.autocommit and transaction.revisions:
            raise NotYet(
                f"each statement of {transaction.revisions[0]} was committed by itself, its line in alembic_version too. A revision "
                "that fails half-way leaves its first half behind: its statements and that line are one transaction."
            )
        if len(transaction.revisions) > 1:
            raise NotYet(
                f"{' and '.join(transaction.revisions)} ran in one transaction. "
                "What the first one locks stays locked until the last one is done. transaction_per_migration=True says "
                "otherwise, where Alembic begins the transactions: commit after the SET, not at the end."
            )
    locked_before_it_comes(db)
    locked_at_its_second_revision(db)
    db.alembic("upgrade", "head")


def locked_before_it_comes(db: Graded) -> None:
    stays = random.uniform(*LOCKED)

    def upgrade() -> Trace:
        with db.long_transaction("LOCK TABLE users IN ACCESS SHARE MODE", stays):
            return db.alembic("upgrade", "head")

    gives_up(db, "another session had locked users", FIRST, stays, upgrade)


def locked_at_its_second_revision(db: Graded) -> None:
    """The timeout is in force there too, and what was done before is saved."""
    stays = random.uniform(*LOCKED)

    def upgrade() -> Trace:
        return db.alembic("upgrade", "head", hindrance=db.latecomer("users", stays, after=FIRST))

    gives_up(db, f"another session locked users right before {SECOND} asked for its lock", SECOND, stays, upgrade)
    if "phone" not in snapshot(db.session).tables["users"].columns:
        raise NotYet(
            f"another session locked users after {FIRST} was done. {SECOND} gave up, and users has no phone: {FIRST} was not "
            "saved by itself."
        )


def gives_up(db: Graded, scene: str, revision: str, stays: float, upgrade: Callable[[], Trace]) -> None:
    """That the upgrade fails at this revision, soon, and says so."""
    db.alembic("downgrade", db.start_revision)
    try:
        trace, failure = upgrade(), None
    except AlembicError as error:
        if error.sqlstate not in (GAVE_UP, None):
            raise
        trace, failure = error.trace, error
    waits = [one for one in trace.statements if one.error and one.error.sqlstate == GAVE_UP or one.lock_wait_ms > 100]
    longest = max((one.ms for one in waits), default=0) / 1000
    if longest > stays * 0.9:
        raise NotYet(
            f"{scene}, and the migration waited for as long as the lock was there ({longest:.1f} s). "
            "Everyone who came later queued behind it. Is the timeout still set when the migrations run? "
            "SET LOCAL ends with its transaction, and a rollback takes a SET back."
        )
    if longest > PATIENCE:
        raise NotYet(
            f"{scene}, and the migration gave up after {longest:.1f} s only. "
            "That is too patient: every reader queues behind it."
        )
    whole = waits[-1].at + waits[-1].ms / 1000 - waits[0].at if waits else 0
    if whole > PATIENCE:
        raise NotYet(
            f"{scene}, and the migration asked for its lock {len(waits)} times, within {whole:.1f} s. It was to give up within a "
            "second: whoever deploys decides when there is another try."
        )
    if failure is None and {"phone", "city"} <= set(snapshot(db.session).tables["users"].columns):
        raise NotYet(f"{scene}. The migration came back when the lock was gone; it was to give up within a second.")
    if failure is None:
        raise NotYet(
            f"{scene}, {revision} did not get its lock, and `alembic upgrade head` ended with exit status 0. A deployment would go "
            "on without its column: let the error out."
        )


PASSED = "each revision is saved by itself, and none waits longer for a lock than people would."
