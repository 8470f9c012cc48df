"""locker is a value of delivery, orders 1 to 10 have it, and old and new code went on working."""

from migration_lab.grading import Graded, NotYet, WrongRows

OLD = "INSERT INTO orders (user_id, total, delivery) VALUES ((SELECT max(id) FROM users), 9.99, 'courier')"
GIVEN = "0004_delivery"
ASKED = set(range(1, 11))  # the orders for a locker
NEW = "INSERT INTO orders (user_id, total, delivery) VALUES ((SELECT max(id) FROM users), 9.99, 'locker')"


def check(db: Graded) -> None:
    column = db.schema.tables["orders"].columns.get("delivery")
    if column is None:
        raise NotYet(
            "orders has no column delivery any more, which old code reads. The column stays; its type gets a value."
        )
    if column.type != "delivery":
        raise NotYet(
            f"orders.delivery is {column.type} now, and takes values that no one has agreed on. Leave it of the type delivery."
        )
    if (was := db.given_schema.tables["orders"].columns["delivery"].default) != column.default:
        raise NotYet(
            f"the default of orders.delivery was {was or 'none'}, and is {column.default or 'none'} now. Old code adds orders "
            "without a word about their delivery: they are to get what they got before."
        )
    if any("public.orders" in statement.rewrote for statement in db.trace.statements):
        raise NotYet(
            "x-ray saw that the migration wrote the whole table anew, with reads and writes shut out. "
            "A second type is needed to take a value out; to take one in, ALTER TYPE … ADD VALUE touches no row."
        )
    for moment in db.trace.under(on="orders"):
        if GIVEN not in (moment.statement.revision, moment.taken_by.revision):
            raise NotYet(
                f"old code had to wait while the server worked on rows: {moment}. A new value needs no lock on orders, and "
                "an UPDATE locks the rows that it writes."
            )
    refused = db.refusal(NEW)
    if refused:
        raise NotYet(f"new code can't insert an order for a locker: {refused.diag.message_primary}.")
    refused = db.refusal(OLD)
    if refused:
        raise NotYet(f"old code can't insert an order for a courier any more: {refused.diag.message_primary}.")
    now = dict(db.rows("SELECT id, delivery::text FROM orders"))
    using = {order for order, delivery in now.items() if delivery == "locker"}
    if not using:
        raise NotYet("the value locker is there and nobody uses it: the orders 1 to 10 are to be delivered so.")
    if missing := ASKED - using:
        raise NotYet(f"order {min(missing)} is not delivered to a locker: all of the orders 1 to 10 are to be.")
    if using != ASKED:
        raise NotYet(
            f"{len(using)} orders have locker, order {max(using)} too, and they are other orders than 1 to 10. "
            "Those were asked for, and no more."
        )
    before = {order["id"]: order["delivery"] for order in db.before["orders"] if order["id"] not in ASKED}
    for order, delivery in before.items():
        if now.get(order) != delivery:
            raise WrongRows(
                f"order {order} was delivered by {delivery} and is by {now.get(order)} now: the delivery of all orders but 1 to 10 "
                "was to stay as it was."
            )


def explain(error) -> str | None:
    if error.sqlstate == "55P04":
        if len(set(revisions_of(error)) - {GIVEN}) > 1:
            return "Two revisions that run in one `upgrade head` share it, as env.py stands here: it is still one transaction."
        return "The value must be committed first: ALTER TYPE … ADD VALUE in a transaction, and no use of it before that one ends."
    return None


def revisions_of(error) -> list[str]:
    """The revisions of the transaction that failed."""
    return [name for transaction in error.trace.transactions for name in transaction.revisions]


PASSED = "the value is in use, no row was written but ten, and nobody had to wait."
