"""ix_orders_created_at, built beside writers, also beside one that takes its time."""

import threading

from migration_lab.command import AlembicError
from migration_lab.grading import Graded, NotYet

BUYER_STAYS = 3.0  # seconds
INDEX = "ix_orders_created_at"


def check(db: Graded) -> None:
    index = db.schema.tables["orders"].indexes.get(INDEX)
    if index is None:
        raise NotYet(f"orders has no index {INDEX} after the upgrade.")
    if index.columns != ("created_at",):
        raise NotYet(f"{INDEX} is on ({', '.join(index.columns)}), not (created_at): the query by date can't use it.")
    worst = db.trace.strongest("orders")
    if worst and worst.blocks in ("writes", "reads and writes"):
        autocommit = any(one.autocommit for one in db.trace.transactions)
        why = "leaving the transaction is half of it: say `postgresql_concurrently=True` too" if autocommit else (
            "every order that came in meanwhile waited"
        )
        raise NotYet(f"x-ray saw {worst.mode} on orders, which blocks {worst.blocks}: {why}.")
    beside_a_slow_buyer(db)


def beside_a_slow_buyer(db: Graded) -> None:
    """Build it again while a buyer's transaction stays open for a while, as they do."""
    db.alembic("downgrade", db.start_revision)
    with db.connect() as buyer:
        buyer.execute("BEGIN")
        buyer.execute("UPDATE orders SET status = status WHERE id = 1")
        leaves = threading.Timer(BUYER_STAYS, buyer.execute, ["COMMIT"])
        leaves.start()
        try:
            db.alembic("upgrade", "head")
        except AlembicError as error:
            invalid = db.value("SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", INDEX)
            left = f"and left {INDEX} INVALID, which a later run stumbles over" if invalid else "and there is no index"
            raise NotYet(
                f"a buyer had a transaction open for {BUYER_STAYS:.0f} seconds, so the migration gave up ({error.sentence}) {left}. "
                "Building an index has to wait for writers; nobody waits for it meanwhile, so it may take its time."
            ) from None
        finally:
            leaves.cancel()
            leaves.join()


def explain(error) -> str | None:
    if error.sqlstate == "25001":
        return "Alembic runs a revision in a transaction, and CREATE INDEX CONCURRENTLY makes several of its own. Step out of it first."
    return None


PASSED = "the index is there and valid, and no order had to wait for it."
