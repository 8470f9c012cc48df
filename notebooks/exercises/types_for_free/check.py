"""Three columns of another type, every value what it was, and no table written anew."""

from migration_lab.grading import Graded, NotYet

TYPES = {
    ("users", "name"): "character varying(200)",
    ("products", "name"): "text",
    ("orders", "created_at"): "timestamp with time zone",
}
CAME_IN = (
    "(timestamp '2024-09-02 11:15:00' + id * interval '11 seconds') AT TIME ZONE 'UTC'"  # as the shop's data have it
)
WHY = {
    "users": "A longer limit changes no value that is there: widen the column in one step, from what it is",
    "products": "varchar and text are the same bytes: there is nothing to compute",
    "orders": "In a session in UTC the type alone can change; AT TIME ZONE is computed for every row, also where nothing comes of it",
}


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
    if db.schema.tables["orders"].columns["created_at"].default != "now()":
        raise NotYet("orders.created_at has lost its default now(): the next order is refused.")
    moments(db)
    for table, why in WHY.items():
        if any(f"public.{table}" in statement.rewrote for statement in db.trace.statements) or db.rows_written(table):
            raise NotYet(
                f"the types are right, but {table} was written anew, and on a large table everybody waits for that. {why}."
            )
    way_back(db)


def way_back(db: Graded) -> None:
    """The downgrade runs in Tokyo as well: each time must be again what it was."""
    db.alembic("downgrade", db.start_revision)
    shifted = db.value(f"SELECT created_at - ({CAME_IN}) AT TIME ZONE 'UTC' FROM orders ORDER BY id LIMIT 1")
    if shifted:
        raise NotYet(
            f"after the downgrade the first order is dated {abs(shifted.total_seconds()) / 3600:g} hours "
            f"{'earlier' if shifted.total_seconds() < 0 else 'later'} than it came in: downgrade() runs in the session's zone as well."
        )
    db.alembic("upgrade", "head")


def moments(db: Graded) -> None:
    shifted = db.value(f"SELECT created_at - {CAME_IN} FROM orders WHERE created_at <> {CAME_IN} ORDER BY id LIMIT 1")
    if shifted:
        hours = shifted.total_seconds() / 3600
        raise NotYet(
            f"the first order is dated {abs(hours):g} hours {'earlier' if hours < 0 else 'later'} than it came in. orders.created_at "
            "holds times of UTC, and the server took them for times of the session's zone. Look at env.py."
        )


PASSED = "three new types, every moment where it was, and no row written."
