"""order_items with its keys, checks, uniqueness and indexes; no transaction locked both of its parents."""

import re
from decimal import Decimal

from migration_lab.grading import Graded, NotYet, Table, several, ways_in, ways_to_orphan

PARENTS = {"order_id": ("orders", "CASCADE"), "product_id": ("products", "RESTRICT")}
COLUMNS = ("order_id", "product_id", "quantity", "unit_price")
ITEM = "INSERT INTO order_items (order_id, product_id, quantity, unit_price) VALUES {}"
OLD_CODE = "INSERT INTO orders (user_id, total) SELECT max(id), 9.99 FROM users"
NEW_CODE = (
    f"WITH bought AS ({OLD_CODE} RETURNING id, total) INSERT INTO order_items (order_id, product_id, quantity, unit_price)"
    " SELECT id, (SELECT max(id) FROM products), 1, total FROM bought"
)


def check(db: Graded) -> None:
    items = db.schema.tables.get("order_items")
    if items is None:
        raise NotYet("there is no table order_items after the upgrade.")
    missing = [column for column in ("id", *COLUMNS) if column not in items.columns]
    if missing:
        raise NotYet(f"order_items has no column {missing[0]}: the starter's five columns are what new code writes.")
    key_has_its_name(items)
    for column in PARENTS:
        foreign_key_stands(items, column)
    takes_what_it_should(db)
    refuses_what_it_should(db)
    follows_its_parents(db, items)
    for column in PARENTS:
        index_finds(items, column)
    one_parent_at_a_time(db)
    db.downgrade(db.start_revision)
    beside_a_slow_writer(db, "products", "orders")
    db.downgrade(db.start_revision)
    beside_a_slow_writer(db, "orders", "products")


def beside_a_slow_writer(db: Graded, kept: str, other: str) -> None:
    """While one parent is kept busy, the other one must be free (x-ray does not see what an autocommitted statement held)."""
    first, second = (f"UPDATE {table} SET id = id WHERE id = {last(db, table)[0]}" for table in (kept, other))
    trace, waited = db.upgrade_beside_writers(first, second)
    if waited > 1:
        raise NotYet(
            f"a writer of {other} waited {waited:.1f} s, because somebody else was writing to {kept}: one transaction locked "
            "both parents, and waited for the second while it held the first. One foreign key in a statement, and in a transaction."
            + next((f" {more}" for statement in trace.statements if (more := several(statement.sql))), "")
        )


def last(db: Graded, table: str) -> list[int]:
    """The ids of the last two rows that were in a table before the upgrade."""
    return [row["id"] for row in db.before[table][-2:]]


def good_item(db: Graded) -> dict:
    """An item as the application writes it."""
    return {
        "order_id": last(db, "orders")[0],
        "product_id": last(db, "products")[0],
        "quantity": 1,
        "unit_price": "9.99",
    }


def key_has_its_name(items: Table) -> None:
    key = next((one for one in items.constraints.values() if one.kind == "primary key"), None)
    if key is None or key.columns != ("id",):
        raise NotYet("id is not the primary key of order_items.")
    if key.name != "pk_order_items":
        raise NotYet(
            f"the primary key is named {key.name}, and the shop's others are pk_orders, pk_products, pk_users: "
            "call it pk_order_items, so that a later migration finds it by the project's rule."
        )


def foreign_key_stands(items: Table, column: str) -> None:
    parent = PARENTS[column][0]
    key = next(
        (one for one in items.constraints.values() if one.kind == "foreign key" and one.columns == (column,)), None
    )
    if key is None:
        raise NotYet(
            f"order_items.{column} has no foreign key: an item could be of a row of {parent} that does not exist."
        )
    if key.referred_table.split(".")[-1] != parent:
        raise NotYet(f"the foreign key of order_items.{column} leads to {key.referred_table}, not to {parent}.")
    if not key.validated:
        raise NotYet(
            f"{key.name} was never validated (pg_constraint.convalidated is false): it says nothing of older rows."
        )


def takes_what_it_should(db: Graded) -> None:
    (order, another_order), (product, another) = last(db, "orders"), last(db, "products")
    for who, statement in [("old", OLD_CODE), ("new", NEW_CODE)]:
        if refused := db.refusal(statement):
            raise NotYet(f"{who} code can't take an order any more: {refused.diag.message_primary}.")
    if refused := db.refusal(ITEM.format(f"({order}, {product}, 1, 9.99), ({order}, {another}, 1, 9.99)")):
        raise NotYet(f"a second product in the same order was refused: {refused.diag.message_primary}.")
    if refused := db.refusal(ITEM.format(f"({order}, {product}, 1, 9.99), ({another_order}, {product}, 1, 9.99)")):
        raise NotYet(f"the same product in another order was refused: {refused.diag.message_primary}.")
    dime = ITEM.format(f"({order}, {product}, 1, 0.1), ({order}, {another}, 1, 0.2)")
    if (
        total := db.value(f"WITH bought AS ({dime} RETURNING unit_price) SELECT sum(unit_price) FROM bought")
    ) != Decimal("0.3"):
        raise NotYet(
            f"items for 0.10 and for 0.20 make {total}: unit_price must keep cents as they are, as NUMERIC(10, 2) does."
        )
    dearest = db.value("SELECT max(price) FROM products")
    if refused := db.refusal(ITEM.format(f"({order}, {product}, 1, {dearest})")):
        raise NotYet(f"an item for {dearest}, as the dearest product is, was refused: {refused.diag.message_primary}.")
    if refused := db.refusal(ITEM.format(f"({order}, {product}, 1, 0)")):
        raise NotYet(f"a gift can't be written down, since a price of 0 is refused: {refused.diag.message_primary}.")


def refuses_what_it_should(db: Graded) -> None:
    order, product = last(db, "orders")[0], last(db, "products")[0]
    for quantity in (-5, 0):
        if db.refusal(ITEM.format(f"({order}, {product}, {quantity}, 9.99)")) is None:
            raise NotYet(
                f"a quantity of {quantity} was taken, and an item is of one piece or more. A check on the table says so to all code."
            )
    if db.refusal(ITEM.format(f"({order}, {product}, 1, -9.99)")) is None:
        raise NotYet("a price of -9.99 was taken. A check on the table keeps the sums honest, whoever writes.")
    good = good_item(db)
    for column in COLUMNS:
        values = ", ".join("NULL" if column == one else str(good[one]) for one in COLUMNS)
        if db.refusal(ITEM.format(f"({values})")) is None:
            raise NotYet(f"an item without {column} was taken: order_items.{column} allows NULL.")
    if db.refusal(ITEM.format(f"({order}, {product}, 1, 9.99), ({order}, {product}, 2, 9.99)")) is None:
        raise NotYet("a product was taken twice in one order: nothing keeps (order_id, product_id) unique.")
    if db.refusal(ITEM.format(f"({order}, {product}, 1, 9.99), ({order}, {product}, 1, 8.88)")) is None:
        raise NotYet(
            "a product was taken twice in one order, at two prices: (order_id, product_id) alone is to be unique."
        )
    two = ITEM.format(f"({order}, {product}, 1, 9.99), ({order}, {last(db, 'products')[1]}, 1, 9.99)")
    if db.refusal(f"{two}; UPDATE order_items SET product_id = {product}") is None:
        raise NotYet(
            "an UPDATE put a product twice into one order: the rule is about every write, not an INSERT alone."
        )
    for bad in ({"quantity": 0}, {"unit_price": "-0.01"}):
        if ways := ways_in(db, "order_items", bad, good):
            [(column, value)] = bad.items()
            raise NotYet(
                f"a {column} of {value} gets in by {ways}. A check on the table holds every write to the rule."
            )


def follows_its_parents(db: Graded, items: Table) -> None:
    order, product = last(db, "orders")[0], last(db, "products")[0]
    item = ITEM.format(f"({order}, {product}, 1, 9.99)")
    parents = {
        "orders": {"user_id": last(db, "users")[0], "total": "9.99"},
        "products": {"name": "Teapot", "price": "9.99"},
    }
    for column, (parent, _) in PARENTS.items():
        if ways := ways_to_orphan(db, "order_items", column, parent, good_item(db), parents[parent]):
            raise NotYet(
                f"an item can be of a row of {parent} that is not there, by {ways}. A foreign key leaves no way."
            )
    if refused := db.refusal(f"{item}; DELETE FROM orders WHERE id = {order}"):
        raise NotYet(
            f"an order can't be deleted while it has items: {refused.diag.message_primary}. "
            "Its items are parts of it and should go with it, ON DELETE CASCADE."
        )
    if db.refusal(f"{item}; DELETE FROM products WHERE id = {product}") is None:
        raise NotYet(
            "a product was deleted that somebody had bought. ON DELETE RESTRICT keeps it, and the order's history."
        )
    key = next(
        one for one in items.constraints.values() if one.kind == "foreign key" and one.columns == ("product_id",)
    )
    if key.on_delete != "RESTRICT":
        raise NotYet(
            f"{key.name} has ON DELETE {key.on_delete}, and RESTRICT was asked for: it says to the reader that a product "
            "which was bought is to stay, and no DEFERRABLE puts it off."
        )


def index_finds(items: Table, column: str) -> None:
    begin = [one for one in items.indexes.values() if one.valid and one.columns[:1] == (column,)]
    if begin and all(one.predicate for one in begin):
        raise NotYet(
            f"{begin[0].name} holds only the items WHERE {begin[0].predicate}: a foreign key has to find every one, and reads all "
            "of order_items."
        )
    if not begin:
        raise NotYet(
            f"no index begins with {column}: for each row of {PARENTS[column][0]} that is deleted, "
            "the foreign key would read all of order_items."
        )


def one_parent_at_a_time(db: Graded) -> None:
    for transaction in db.trace.transactions:
        stopped = {held.relation for held in transaction.held if held.blocks in ("writes", "reads and writes")}
        if {"public.orders", "public.products"} <= stopped:
            raise NotYet(
                "one transaction stopped writes to orders and products at once. It waits for the second while it holds the "
                "first, and keeps both to its end. One foreign key in a transaction; and two revisions share one, unless "
                'env.py says otherwise. See "The production form".'
            )


def explain(error) -> str | None:
    if error.sqlstate == "42P01" and re.search('"(orders|products)"', error.sentence):
        return "A foreign key needs its parent to be there: this revision comes after 0003_orders."
    return None


PASSED = "keys, checks, uniqueness and indexes are there, and no transaction stopped both parents."
