"""The downgrade leads back to the start, whole: schema and rows; and the way up is open again."""

from migration_lab.grading import AlembicError, Graded, NotYet, WrongRows, diff, quoted, snapshot

WHY = {
    "type order_status": "A type belongs to no table and stays until it is dropped; the next upgrade would meet it.",
    "function mark_returned()": "A trigger goes with its table; the function that it calls does not.",
    "column orders.status": "Its type was another one: sa.String(length=20).",
    "index ix_orders_user_id": "upgrade() dropped it: the queries of the old code would read the whole table.",
}


def check(db: Graded) -> None:
    upgrade_is_as_given(db)
    down(db)
    if changes := diff(db.start, snapshot(db.session)):
        raise NotYet(
            "after the downgrade the database is not what it was before the upgrade:"
            + "".join(f"\n  - {change}" for change in changes)
            + f"\n  {why(changes)}"
        )
    orders_are_as_before(db)
    columns_are_in_their_places(db)
    if lost := db.lost_on_the_way_back():
        raise NotYet(
            f"the schema is what it was, but {lost[0]}. downgrade() takes back the schema, and keeps the rows."
        )
    if more := db.otherwise_than_given():
        raise NotYet(
            f"upgrade() no longer does what it did: {more[0]}. It has run in production: leave it, and write downgrade() alone."
        )
    try:
        db.alembic("upgrade", "head")
    except AlembicError as error:
        raise NotYet(f"up and down work once, but the second upgrade failed.\n{quoted(error)}") from None
    a_returned_order_stays_so(db)


def columns_are_in_their_places(db: Graded) -> None:
    was, now = (list(schema.tables["orders"].columns) for schema in (db.start, snapshot(db.session)))
    if was != now:
        raise NotYet(
            f"the columns of orders were {', '.join(was)}, and after the downgrade they are {', '.join(now)}. A column that is "
            "made anew stands at the end, where `SELECT *` and `INSERT` without names meet it: change the type of the old one."
        )


def a_returned_order_stays_so(db: Graded) -> None:
    """Once more down, after the shop has taken an order back."""
    db.session.execute("INSERT INTO returns (order_id) SELECT max(id) FROM orders WHERE status = 'complete'")
    order = db.value("SELECT order_id FROM returns")
    down(db)
    if (status := db.value("SELECT status FROM orders WHERE id = %s", order)) != "returned":
        raise NotYet(
            f"the shop took order {order} back while the upgrade was in force, so its status was 'returned'; after the downgrade "
            f"it is {status!r}. The old column holds any text of up to 20 letters: the way back changes no order."
        )


def orders_are_as_before(db: Graded) -> None:
    now = dict(db.rows("SELECT id, status FROM orders"))
    gone = [order["id"] for order in db.before["orders"] if order["id"] not in now]
    if gone:
        raise WrongRows(f"the schema is what it was, but {len(gone)} orders are gone, such as order {gone[0]}.")
    changed = [order for order in db.before["orders"] if now[order["id"]] != order["status"]]
    if changed:
        order, status = changed[0]["id"], changed[0]["status"]
        raise WrongRows(
            f"the schema is what it was, but {len(changed)} orders are not what they were: order {order} was {status!r} and is "
            f"{now[order]!r} now. A column that is dropped and added anew has the right type and none of its values: change its type."
        )


def upgrade_is_as_given(db: Graded) -> None:
    orders, returns = db.schema.tables["orders"], db.schema.tables.get("returns")
    as_given = (
        orders.columns["status"].type == "order_status"
        and "ix_orders_user_status" in orders.indexes
        and "ix_orders_user_id" not in orders.indexes
        and returns is not None
        and "mark" in returns.triggers
    )
    if not as_given:
        raise NotYet(
            "upgrade() no longer does what it did. It has run in production: leave it, and write downgrade() alone."
        )


def down(db: Graded) -> None:
    try:
        db.alembic("downgrade", db.start_revision)
    except AlembicError as error:
        meaning = "The way back is closed: in an emergency, nobody could go it."
        if error.sqlstate == "2BP01":
            meaning = "What is in use can't be dropped: go the way back in reverse, the last thing made first."
            if "DETAIL: default value" in error.sentence:
                meaning = (
                    "The column has its old type, but its default was cast along: drop that first, as upgrade() does."
                )
        raise NotYet(f"`alembic downgrade` failed.\n{quoted(error)}\n  {meaning}") from None


def why(changes: list) -> str:
    for change in changes:
        if change.object == "column orders.status" and change.kind == "removed":
            return "CASCADE takes all that depends on a type, and so the column, with the status of every order."
        if change.object == "column orders.status" and change.attribute == "default" and change.after is None:
            return "The old code adds orders without a status and relies on 'pending'."
    otherwise = "downgrade() takes back all that upgrade() did, and no more."
    return next((WHY[change.object] for change in changes if change.object in WHY), otherwise)


PASSED = "down leads back to the start, to the last default and status, and up is open again."
