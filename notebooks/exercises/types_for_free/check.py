"""Three columns of another type, every value what it was, and no table written anew."""

from migration_lab.grading import Graded, NotYet, WrongRows

TYPES = {
    ("users", "name"): "character varying(200)",
    ("products", "name"): "text",
    ("orders", "created_at"): "timestamp with time zone",
}
WHY = {
    "users": "A longer limit changes no value that is there: widen the column in one step, from what it is",
    "products": "varchar and text are the same bytes: there is nothing to compute",
    "orders": "In a session in UTC the type alone can change; AT TIME ZONE is computed for every row, also where nothing comes of it",
}

LONG_NAMES = {"users": "Ana " * 45 + "Ek", "products": "tea" * 60}


def check(db: Graded) -> None:
    for (table, name), wanted in TYPES.items():
        column = db.schema.tables[table].columns.get(name)
        if column is None:
            raise NotYet(f"{table} has no column {name} any more: the request is for its type.")
        if column.type != wanted:
            more = "; that leaves open which moment a time is" if "without" in column.type else ""
            raise NotYet(f"{table}.{name} is {column.type}{more}. The request is for {wanted}.")
        if column.nullable:
            raise NotYet(f"{table}.{name} allows NULL now (pg_attribute.attnotnull is false), as it did not before.")
    default = db.schema.tables["orders"].columns["created_at"].default
    if default is None:
        raise NotYet("orders.created_at has lost its default now(): the next order is refused.")
    if default not in ("now()", "CURRENT_TIMESTAMP"):
        raise NotYet(f"orders.created_at has the default {default}, where it had now().")
    moments(db)
    for table, why in WHY.items():
        if any(f"public.{table}" in statement.rewrote for statement in db.trace.statements) or db.rows_written(table):
            raise NotYet(
                f"the types are right, but {table} was written anew, and on a large table everybody waits for that. {why}."
            )
    way_back(db)


def way_back(db: Graded) -> None:
    """The downgrade runs in Tokyo as well: each time must be again what it was."""
    db.downgrade(db.start_revision)
    if shifted := first_shifted(db, "SELECT id, created_at FROM orders"):
        order, hours = shifted
        raise WrongRows(
            f"after the downgrade order {order} is dated {told(hours)} than it came in: downgrade() runs in the session's zone as well."
        )
    db.alembic("upgrade", "head")
    long_names(db)


def long_names(db: Graded) -> None:
    """The way back once more, after new code has used its room: it may refuse, but not cut."""
    for table, name in LONG_NAMES.items():
        row, was = (db.before[table][-1][column] for column in ("id", "name"))
        db.session.execute(f"UPDATE {table} SET name = %s WHERE id = %s", [name, row])
        try:
            db.downgrade(db.start_revision)
        except NotYet:  # the server has refused, and nothing is lost
            db.session.execute(f"UPDATE {table} SET name = %s WHERE id = %s", [was, row])
            continue
        if (now := db.value(f"SELECT name FROM {table} WHERE id = %s", row)) != name:
            raise NotYet(
                f"new code gave row {row} of {table} a name of {len(name)} characters, and after the downgrade it has {len(now)}: "
                "an explicit cast cuts off without a word. Without USING the server refuses, and nothing is lost."
            )
        db.alembic("upgrade", "head")


def moments(db: Graded) -> None:
    if shifted := first_shifted(db, "SELECT id, created_at AT TIME ZONE 'UTC' FROM orders"):
        order, hours = shifted
        raise WrongRows(
            f"order {order} is dated {told(hours)} than it came in. orders.created_at holds times of UTC, and the server took them "
            "for times of the session's zone. Look at env.py."
        )


def first_shifted(db: Graded, query: str) -> tuple[int, float] | None:
    """The first order that is dated otherwise than before, and by how many hours; None where there is none."""
    now = dict(db.rows(query))
    for order in db.before["orders"]:
        if order["id"] not in now:
            raise WrongRows(f"order {order['id']} is gone, and the request is for types alone.")
        if shift := now[order["id"]] - order["created_at"]:
            return order["id"], shift.total_seconds() / 3600
    return None


def told(hours: float) -> str:
    return f"{abs(hours):g} hours {'earlier' if hours < 0 else 'later'}"


PASSED = "three new types, every moment where it was, and no row written."
