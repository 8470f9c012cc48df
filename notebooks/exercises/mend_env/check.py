"""env.py saves what it runs, revision by revision, and does not wait long for a lock."""

import time

from migration_lab.grading import AlembicError, Graded, NotYet

LOCKED = 4.0  # seconds
PATIENCE = 1.2


def check(db: Graded) -> None:
    missing = [name for name in ("phone", "city") if name not in db.schema.tables["users"].columns]
    if missing:
        raise NotYet(
            f"exit status 0, and nothing saved: users has no {' and no '.join(missing)}. "
            "The SET began a transaction, and Alembic leaves one that it finds to whoever began it: nobody committed."
        )
    for transaction in db.trace.transactions:
        if len(transaction.revisions) > 1:
            raise NotYet(
                f"{' and '.join(transaction.revisions)} ran in one transaction. "
                "What the first one locks stays locked until the last one is done. transaction_per_migration=True says "
                "otherwise, where Alembic begins the transactions: commit after the SET, not at the end."
            )
    db.alembic("downgrade", db.start_revision)
    waited = seconds_until_it_gives_up(db)
    if waited > LOCKED * 0.9:
        raise NotYet(
            "another session had locked users, and the migration waited for as long as the lock was there. "
            "Everyone who came later queued behind it. Is the timeout still set when the migrations run? "
            "SET LOCAL ends with its transaction, and a rollback takes a SET back."
        )
    if waited > PATIENCE:
        raise NotYet(
            f"another session had locked users, and the migration gave up after {waited:.1f} s only. "
            "That is too patient: every reader queues behind it."
        )
    db.alembic("upgrade", "head")


def seconds_until_it_gives_up(db: Graded) -> float:
    with db.open_transaction("LOCK TABLE users IN ACCESS SHARE MODE", LOCKED):
        began = time.monotonic()
        try:
            db.alembic("upgrade", "head")
        except AlembicError as error:
            if error.sqlstate != "55P03":
                raise
        return time.monotonic() - began


PASSED = "each revision is saved by itself, and none waits longer for a lock than people would."
