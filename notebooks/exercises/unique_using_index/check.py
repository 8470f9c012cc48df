"""A unique constraint on (order_id, product_id), whose index was built beside writers."""

from migration_lab.grading import AlembicError, Graded, NotYet, Trace, WrongRows, snapshot

NAME = "uq_order_items_order_product"
COLUMNS = ("order_id", "product_id")
WRITE = "UPDATE order_items SET quantity = quantity WHERE id = {}"
INSERT = "INSERT INTO order_items (order_id, product_id, quantity) VALUES ({}, {}, 1)"
GAVE_UP = ("55P03", "57014")  # lock_not_available, query_canceled


def check(db: Graded) -> None:
    constraint_stands(db)
    item = db.before["order_items"][-1]
    if refused := db.refusal(INSERT.format(item["order_id"], 77_777)):
        raise NotYet(f"one more product in an order was refused: {refused.diag.message_primary}.")
    if db.refusal(INSERT.format(item["order_id"], item["product_id"])) is None:
        raise NotYet("a product was taken twice in one order, although the constraint is there.")
    now = {item for (item,) in db.rows("SELECT id FROM order_items")}
    lost = [item["id"] for item in db.before["order_items"] if item["id"] not in now]
    if lost:
        raise WrongRows(
            f"{len(lost)} items are gone, such as item {lost[0]}. There are no duplicates in the table, and nothing has to be deleted."
        )
    goes_back(db)
    beside_a_slow_writer(db)


def constraint_stands(db: Graded) -> None:
    items = db.schema.tables["order_items"]
    constraint = items.constraints.get(NAME)
    if constraint is None:
        others = [one.name for one in items.constraints.values() if one.kind == "unique"]
        if others:
            raise NotYet(
                f"the unique constraint is named {others[0]}, not {NAME}, by which the project will look for it."
            )
        if any(one.unique and one.columns == COLUMNS for one in items.indexes.values()):
            raise NotYet(
                f"order_items has no constraint {NAME}, but an index alone. It refuses duplicates, yet information_schema, "
                "foreign keys to these columns and ON CONFLICT ON CONSTRAINT need the constraint: let it take the index over."
            )
        raise NotYet(f"order_items has no unique constraint {NAME} after the upgrade.")
    if constraint.kind != "unique" or constraint.columns != COLUMNS:
        raise NotYet(
            f"{NAME} is on ({', '.join(constraint.columns)}), not on (order_id, product_id) as asked: {constraint.definition}. "
            "The index begins with the first of them, and finds the lines of an order."
        )


def goes_back(db: Graded) -> None:
    db.alembic("downgrade", "0004_order_items")
    items = snapshot(db.session).tables["order_items"]
    if NAME in items.constraints or any(set(one.columns) == set(COLUMNS) for one in items.indexes.values()):
        raise NotYet(
            f"after the downgrade {NAME} or its index is still there. downgrade() drops the constraint, and its index goes with it."
        )


def beside_a_slow_writer(db: Graded) -> None:
    """Add it again while a writer's transaction stays open. The next writer must not wait."""
    first, second = (WRITE.format(item["id"]) for item in db.before["order_items"][-2:])
    try:
        trace, waited = db.upgrade_beside_writers(first, second)
    except AlembicError as error:
        if error.sqlstate not in GAVE_UP:
            raise
        invalid = db.value("SELECT bool_or(NOT indisvalid) FROM pg_index WHERE indrelid = 'order_items'::regclass")
        left = (
            "and left its index INVALID, which the next try stumbles over" if invalid else "and there is no constraint"
        )
        raise NotYet(
            f"a writer had a transaction open for some seconds, so the migration gave up ({error.sentence}) {left}. "
            "Building an index has to wait for writers; nobody waits for it meanwhile, so it may take its time."
        ) from None
    if waited > 1:
        raise NotYet(f"a write that came meanwhile waited {waited:.1f} s: {why(trace)}.")
    for moment in trace.under(on="order_items"):
        built = f": {why(trace)}" if moment.did == "built" else ""
        raise NotYet(f"writers had to wait while the server worked on rows ({moment}){built}.")


def why(trace: Trace) -> str:
    exclusive = any(lock.mode == "AccessExclusiveLock" for one in trace.statements if one.built for lock in one.locks)
    if exclusive:
        return (
            "ADD CONSTRAINT … UNIQUE built its index under ACCESS EXCLUSIVE, which stops reads too. "
            "Build the index before, beside the writers, and let the constraint take it over"
        )
    if any(one.built and "CONCURRENTLY" not in one.sql.upper() for one in trace.statements):
        return "the index was built without CONCURRENTLY, under a lock that keeps every write out until it is there"
    return "look in x-ray's report for the lock that keeps writes out"


def explain(error) -> str | None:
    if error.sqlstate == "42809" and "unique" in error.sentence:
        return "A constraint takes over a unique index, and this one allows duplicates."
    return None


PASSED = "the constraint is there, on an index that was built while items were written."
