"""orders.total and orders.amount: two names for one number, while old code and new code write."""

from migration_lab.grading import Graded, NotYet, WrongRows, snapshot, ways_past

OLD_INSERT = "INSERT INTO orders (user_id, total) SELECT max(id), 9 FROM users RETURNING amount"
NEW_INSERT = "INSERT INTO orders (user_id, amount) SELECT max(id), 9 FROM users RETURNING total"
OLD_UPDATE = "UPDATE orders SET total = 77 WHERE id = (SELECT max(id) FROM orders) RETURNING amount"
NEW_UPDATE = "UPDATE orders SET amount = 77 WHERE id = (SELECT max(id) FROM orders) RETURNING total"


def check(db: Graded) -> None:
    if "orders" not in db.schema.tables:
        raise NotYet(
            "orders is no table any more. A view can give a column a second name; here both are to stand in the table."
        )
    columns = db.schema.tables["orders"].columns
    if "total" not in columns:
        raise NotYet(
            'the column total is gone: old code gets `column "total" does not exist` until its last server is replaced.'
        )
    if "amount" not in columns:
        raise NotYet("orders has no column amount after the upgrade.")
    if columns["amount"].type != columns["total"].type:
        raise NotYet(
            f"orders.amount is {columns['amount'].type} and orders.total {columns['total'].type}: a value of one may not fit the other."
        )
    now = {order: (total, amount) for order, total, amount in db.rows("SELECT id, total, amount FROM orders")}
    for order in db.before["orders"]:
        if now.get(order["id"], (None, None))[0] != order["total"]:
            raise WrongRows(
                f"order {order['id']} had a total of {order['total']} before the upgrade, and has another or none."
            )
    differing = [order for order, (total, amount) in now.items() if total != amount]
    if differing:
        order = min(differing)
        total, amount = now[order]
        raise WrongRows(
            f"{len(differing)} orders that were there before have another amount than total: order {order} has a total of {total}, "
            f"and its amount is {'NULL' if amount is None else amount}."
        )
    old_code(db)
    new_code(db)
    for name, other in (("total", "amount"), ("amount", "total")):
        if ways := ways_past(
            db, "orders", {name: 77}, {"user_id": db.before["users"][-1]["id"], name: 9}, f"{other} = 77"
        ):
            raise NotYet(f"{other} does not follow a {name} that is written by {ways}: the two names have two numbers.")
    an_order_that_is_not_filled_yet(db)
    if any("public.orders" in statement.rewrote for statement in db.trace.statements):
        raise NotYet("the table was rewritten, with readers and writers shut out meanwhile. A nullable column is free.")
    filled_in_time(db)
    in_step_after_each_revision(db)


def an_order_that_is_not_filled_yet(db: Graded) -> None:
    """New code writes one that the backfill has not reached: the trigger is there, and its amount is still NULL."""
    order = db.before["orders"][-1]["id"]
    empty = "ALTER TABLE orders DISABLE TRIGGER USER; ALTER TABLE orders ALTER amount DROP NOT NULL"
    empty += f"; UPDATE orders SET amount = NULL WHERE id = {order}; ALTER TABLE orders ENABLE TRIGGER USER; "
    for name, other in (("amount", "total"), ("total", "amount")):
        write = f"UPDATE orders SET {name} = 77 WHERE id = {order}"
        if db.refusal(empty + write):
            continue
        with db.session.transaction(force_rollback=True):
            db.session.execute(empty + write)
            found = db.session.execute(f"SELECT {other} FROM orders WHERE id = {order}").fetchone()[0]
        if found != 77:
            raise NotYet(
                f"an order had no amount yet, as during the backfill, and somebody wrote {name} = 77: its {other} is "
                f"{'NULL' if found is None else found} then. A comparison with NULL is not true: ask IS DISTINCT FROM."
            )


def filled_in_time(db: Graded) -> None:
    """The trigger stands before the first row is filled, and no row is filled under a lock that stops others."""
    if db.filled_before_trigger("orders", "amount"):
        raise NotYet(
            "the old rows were filled before the trigger was there: what old code wrote in between has another amount than total, "
            "and nobody copies it again. First the trigger, then the backfill."
        )
    for moment in db.trace.under():
        if moment.did == "wrote":
            whom = "everybody" if "reads" in moment.blocks else "every writer"
            raise NotYet(
                f"rows were filled in a transaction that had shut {whom} out: {moment}. Let the transaction that takes "
                "the lock end first: fill in an autocommit_block, or in a revision of its own."
            )


def in_step_after_each_revision(db: Graded) -> None:
    """Once a row is filled, what old code writes must reach amount, also between two revisions."""
    steps = [script.revision for script in reversed(db.revisions())]
    if len(steps) < 2:
        return
    db.alembic("downgrade", db.start_revision)
    for step in steps:
        db.alembic("upgrade", step)
        if "amount" not in snapshot(db.session).tables["orders"].columns:
            continue
        if not db.value("SELECT count(amount) FROM orders"):
            continue
        if db.value(OLD_INSERT) != 9 or db.value(OLD_UPDATE) != 77:
            raise NotYet(
                f"after {step}, old orders are filled, and amount does not follow yet when old code writes total: "
                "what it writes until the next revision is lost to new readers. First the trigger, then the backfill."
            )


def old_code(db: Graded) -> None:
    if refused := db.refusal(OLD_INSERT):
        raise NotYet(f"old code can't take an order any more: {refused.diag.message_primary}.")
    if db.value(OLD_INSERT) != 9:
        raise NotYet(
            "old code took an order (INSERT), and amount did not follow: a later write was lost to new readers."
        )
    if db.value(OLD_UPDATE) != 77:
        raise NotYet(
            "old code changed a total (UPDATE), and amount did not follow: a later write was lost to new readers."
        )


def new_code(db: Graded) -> None:
    for statement in (NEW_INSERT, NEW_UPDATE):
        if refused := db.refusal(statement):
            raise NotYet(f"new code can't write amount: {refused.diag.message_primary}.")
    if db.value(NEW_INSERT) != 9 or db.value(NEW_UPDATE) != 77:
        raise NotYet(
            "new code wrote an amount, and total did not follow: old readers, still at work, see the number of before."
        )


PASSED = "whoever writes, and by whichever name, everybody reads the same."
