"""orders.updated_at: NULL until the first UPDATE, then the moment of the last one, whoever made it."""

import time

from migration_lab.grading import Graded, NotYet, WrongRows

TIMESTAMPTZ = "timestamp with time zone"
CHANGES = {
    "status": "'returned'",
    "total": "total + 1",
    "user_id": "user_id + 1",
    "created_at": "created_at - interval '1 day'",
}
ANOTHER_TRIGGER = (
    "CREATE FUNCTION pg_temp.another() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN UPDATE orders SET total = total + 1 WHERE id = {order}; RETURN NEW; END $$",
    "CREATE TRIGGER another AFTER UPDATE ON products FOR EACH ROW EXECUTE FUNCTION pg_temp.another()",
    "UPDATE products SET price = price + 1 WHERE id = (SELECT max(id) FROM products)",
)
LONG_AGO = "2000-01-01 00:00:00+00"
EVENTS = """
    SELECT tgtype & 1 = 0 AS each_statement, tgtype & 2 = 0 AS after, tgtype & 16 = 0 AS no_update, cardinality(tgattr::int2[]) > 0 AS of_columns
      FROM pg_trigger WHERE tgrelid = 'orders'::regclass AND NOT tgisinternal
"""


def check(db: Graded) -> None:
    column = db.schema.tables["orders"].columns.get("updated_at")
    if column is None:
        raise NotYet("orders has no column updated_at after the upgrade.")
    if column.type != TIMESTAMPTZ:
        raise NotYet(
            f"orders.updated_at is {column.type}, not {TIMESTAMPTZ}. "
            "Without its zone, the same moment written from Tokyo and from Berlin is two."
        )
    order = some_order(db)
    for name, value in CHANGES.items():
        updates(db, column, name, value, order)
    every_order(db)
    dictated(db, order)
    zones(db, order)
    twice_in_a_session(db, order)
    by_another_trigger(db, order)
    never_updated(db)


def some_order(db: Graded) -> int:
    """An order whose user's id has a next one, so that the order can be given to somebody else."""
    users = {user["id"] for user in db.before["users"]}
    return next(order["id"] for order in reversed(db.before["orders"]) if order["user_id"] + 1 in users)


def updates(db: Graded, column, name: str, value: str, order: int) -> None:
    """Change one column of an order that was updated long ago, as psql would."""
    statement = f"UPDATE orders SET {name} = {value} WHERE id = {order}"
    if refused := db.refusal(statement):
        raise NotYet(
            f"an UPDATE of an order fails since your migration: {refused.diag.message_primary}. {why_refused(db, refused)}".strip()
        )
    before = db.value(f"SELECT {name} FROM orders WHERE id = {order}")
    rows, after, fresh = after_update(db, f"SET {name} = {value}", name, order)
    if not rows:
        raise NotYet(
            "the UPDATE touched no row. A BEFORE trigger whose function returns NULL leaves the row out: RETURN NEW."
        )
    if before == after:
        raise NotYet(
            f"after {statement} the new {name} was not stored: a BEFORE trigger writes what its function returns. RETURN NEW."
        )
    if not fresh:
        raise NotYet(f"{statement} did not change updated_at. {why_not(db, column)}")


def after_update(db: Graded, change: str, name: str, order: int) -> tuple[int, object, bool]:
    """How many rows an UPDATE of an order touched, what is in its column then, and whether its updated_at is of now."""
    with db.session.transaction(force_rollback=True):
        run = db.session.execute
        run("ALTER TABLE orders DISABLE TRIGGER USER")
        run("UPDATE orders SET updated_at = %s WHERE id = %s", [LONG_AGO, order])
        run("ALTER TABLE orders ENABLE TRIGGER USER")
        touched = run(f"UPDATE orders {change} WHERE id = {order}").rowcount
        # By the day: a clock time is read in the zone of this session, which is the server's. zones() counts the hours.
        fresh = "abs(extract(epoch FROM updated_at - now())) < 86400"
        return touched, *run(f"SELECT {name}, coalesce({fresh}, false) FROM orders WHERE id = {order}").fetchone()


def why_refused(db: Graded, refused) -> str:
    if refused.sqlstate == "54001":
        return "The trigger updates the table that it watches, which calls it again, without end. Change NEW before it is written."
    if any(each_statement for each_statement, *_ in db.rows(EVENTS)):
        return "FOR EACH STATEMENT sees no row to change; FOR EACH ROW does."
    return ""


def why_not(db: Graded, column) -> str:
    triggers = db.rows(EVENTS)
    if not triggers and column.default:
        return "A default acts at INSERT and never again."
    if not triggers:
        return (
            "Nothing in the database sets it: onupdate= is something that SQLAlchemy does, in its own UPDATEs, "
            "and psql has never heard of it."
        )
    each_statement, after, no_update, of_columns = triggers[0]
    if no_update:
        return "The trigger acts at INSERT, not at UPDATE."
    if each_statement:
        return "FOR EACH STATEMENT sees no row to change; FOR EACH ROW does."
    if after:
        return "AFTER comes too late: the row is written, and what happens to NEW is lost. BEFORE can still change it."
    if of_columns:
        return "UPDATE OF looks at the columns that it names, and an order has others."
    return (
        "The trigger runs BEFORE UPDATE, and left the old value: if it sets updated_at only where that is NULL, "
        "only the first UPDATE counts."
    )


def every_order(db: Graded) -> None:
    left = db.value(
        "WITH changed AS (UPDATE orders SET total = total + 1 RETURNING updated_at) SELECT count(*) FROM changed"
        " WHERE coalesce(abs(extract(epoch FROM updated_at - now())) > 86400, true)"
    )
    if left:
        raise NotYet(
            f"an UPDATE of all orders did not change the updated_at of {left} of them: the trigger leaves some out."
        )


def dictated(db: Graded, order: int) -> None:
    for year in (1999, 2099):
        *_, fresh = after_update(db, f"SET updated_at = '{year}-12-31 00:00:00+00'", "status", order)
        if not fresh:
            raise NotYet(
                f"updated_at could be dictated: an UPDATE that set it to {year} was believed. The clock decides, not the client."
            )


def zones(db: Graded, order: int) -> None:
    for zone in ("Asia/Tokyo", "America/New_York"):
        with db.session.transaction(force_rollback=True):
            db.session.execute(f"SET LOCAL TIME ZONE '{zone}'")
            db.session.execute("UPDATE orders SET total = total + 1 WHERE id = %s", [order])
            query = "SELECT round(extract(epoch FROM updated_at - now()) / 3600)::int FROM orders WHERE id = %s"
            hours = db.session.execute(query, [order]).fetchone()[0]
        if hours:
            raise NotYet(
                f"an UPDATE from a session in {zone} is stamped {abs(hours)} hours off. "
                "now() is a moment already; AT TIME ZONE makes a clock time of it, which is then read in the session's zone."
            )


def twice_in_a_session(db: Graded, order: int) -> None:
    """An application keeps its session for hours, and each of its UPDATEs has a moment of its own."""
    with db.connect() as session:
        for _ in range(2):
            time.sleep(0.01)
            session.execute("BEGIN")
            session.execute("UPDATE orders SET total = total + 1 WHERE id = %s", [order])
            [(behind,)] = session.execute("SELECT updated_at < now() FROM orders WHERE id = %s", [order])
            session.execute("ROLLBACK")
    if behind:
        raise NotYet(
            "the second UPDATE of a session is stamped with a moment before its transaction began. A constant such as "
            "'now' is read once, when the function's plan is made; now() is read each time."
        )


def by_another_trigger(db: Graded, order: int) -> None:
    with db.session.transaction(force_rollback=True):
        for statement in ANOTHER_TRIGGER:
            db.session.execute(statement.format(order=order))
        query = "SELECT coalesce(updated_at >= now(), false) FROM orders WHERE id = %s"
        [(stamped,)] = db.session.execute(query, [order])
    if not stamped:
        raise NotYet(
            "an UPDATE of an order that another table's trigger makes did not change updated_at: it counts whoever makes it."
        )


def never_updated(db: Graded) -> None:
    stamped = [order for (order,) in db.rows("SELECT id FROM orders WHERE updated_at IS NOT NULL ORDER BY id")]
    if stamped:
        raise WrongRows(
            f"{len(stamped)} orders that nobody has updated say that they were, such as order {stamped[0]} "
            "(updated_at is not NULL)."
        )
    if db.value("INSERT INTO orders (user_id, total) SELECT max(id), 9.99 FROM users RETURNING updated_at"):
        raise NotYet("a new order, which nobody has updated, has an updated_at already: leave INSERT alone.")


def explain(error) -> str | None:
    if error.sqlstate == "42883" and "moddatetime" in error.sentence:
        return "The function comes with an extension: CREATE EXTENSION moddatetime first."
    return None


PASSED = "updated_at is true, whoever updates an order, from wherever."
