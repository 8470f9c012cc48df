"""ix_orders_created_at, built beside writers, also beside one that takes its time."""

from migration_lab.grading import AlembicError, Graded, NotYet, Trace, quoted, snapshot

INDEX = "ix_orders_created_at"
GAVE_UP = ("55P03", "57014")  # lock_not_available, query_canceled


def check(db: Graded) -> None:
    index = db.schema.tables["orders"].indexes.get(INDEX)
    if index is None:
        raise NotYet(f"orders has no index {INDEX} after the upgrade.")
    if index.columns != ("created_at",):
        raise NotYet(f"{INDEX} is on ({', '.join(index.columns)}), not (created_at): the query by date can't use it.")
    if index.unique or index.predicate or " USING btree " not in index.definition:
        raise NotYet(
            f"a plain index on created_at was asked for, of every order and in its order, and this is another: {index.definition}."
        )
    if taken := strong_lock(db.trace):
        taker = db.trace.taken_by(db.trace.strongest("orders"))
        why = f": {why_built(db)}" if taker.built else ". Nothing that was asked for needs that"
        raise NotYet(f"x-ray saw that {taken}{why}.")
    db.downgrade(db.start_revision)
    waited = beside_a_slow_buyer(db)
    if waited > 1:
        raise NotYet(f"an order that came in while your migration ran waited {waited:.1f} s: {why_built(db)}.")
    finds_a_broken_one(db)
    steps_out_of_the_way(db)


def strong_lock(trace: Trace) -> str | None:
    """Which statement took a lock on orders that stops writers, and which lock, in words; None where none did."""
    worst = trace.strongest("orders")
    if worst is None or "writes" not in worst.blocks:
        return None
    return f"`{trace.taken_by(worst).in_short}` took {worst.mode} on orders, which blocks {worst.blocks}"


def finds_a_broken_one(db: Graded) -> None:
    """A build that gave up has left an INVALID index of this name: a second run must not take it for done."""
    db.downgrade(db.start_revision)
    buys = f"UPDATE orders SET status = status WHERE id = {db.before['orders'][-1]['id']}"
    db.leave_invalid(f"CREATE INDEX CONCURRENTLY {INDEX} ON orders (created_at)", buys)
    try:
        if taken := strong_lock(db.alembic("upgrade", "head")):
            raise NotYet(
                f"{INDEX} was there, INVALID, from an earlier try; on its way past that {taken}. "
                "DROP INDEX CONCURRENTLY, or REINDEX INDEX CONCURRENTLY, in the autocommit_block."
            )
    except AlembicError as error:
        raise NotYet(
            f"{INDEX} was there, INVALID, from an earlier try, and the next one stumbles over it.\n{quoted(error)}\n"
            "  Whoever deploys at night should not have to drop it by hand: drop what is broken first, or build it anew."
        ) from None
    index = snapshot(db.session).tables["orders"].indexes.get(INDEX)
    if index is None:
        raise NotYet(
            f"an earlier try had left {INDEX} INVALID; your migration ran once more, and there is no such index."
        )
    if not index.valid:
        raise NotYet(
            f"an earlier try had left {INDEX} INVALID, and your migration ran over it without a word. IF NOT EXISTS looks at the "
            "name alone, and an error that is caught is not seen. Leave that out, or drop what is broken first."
        )


def steps_out_of_the_way(db: Graded) -> None:
    if taken := strong_lock(db.downgrade(db.start_revision)):
        raise NotYet(
            f"in the downgrade {taken}, also while it waits for its turn. "
            "Drop the index as it was built: concurrently, in an autocommit_block."
        )
    db.alembic("upgrade", "head")


def why_built(db: Graded) -> str:
    if any(transaction.autocommit for transaction in db.trace.transactions):
        return "leaving the transaction is half of it, say `postgresql_concurrently=True` too"
    if any(statement.built for statement in db.trace.statements):
        return "a plain index keeps every order out until it is built"
    return "x-ray's report has the statement that took it"


def beside_a_slow_buyer(db: Graded) -> float:
    """Build it again while a buyer's transaction stays open, as they do. Returns the seconds that the next buyer waited."""
    first, second = (f"UPDATE orders SET status = status WHERE id = {one['id']}" for one in db.before["orders"][-2:])
    try:
        return db.upgrade_beside_writers(first, second)[1]
    except AlembicError as error:
        if error.sqlstate not in GAVE_UP:
            raise
        invalid = db.value("SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", INDEX)
        left = f"and left {INDEX} INVALID, which a later run stumbles over" if invalid else "and there is no index"
        raise NotYet(
            f"a buyer had a transaction open for some seconds, so the migration gave up ({error.sentence}) {left}. "
            "Building an index has to wait for writers; nobody waits for it meanwhile, so it may take its time."
        ) from None


PASSED = "the index is there and valid, and no order had to wait for it."
