"""orders: a page of a user's open orders, read from one index."""

from itertools import takewhile

from migration_lab.grading import Graded, NotYet

PAGE = """
    SELECT id, total FROM orders WHERE user_id = {} AND status = 'pending' ORDER BY created_at DESC, id DESC LIMIT 20"""
# Twenty users with a thousand orders each, of every status.
MANY = """
    INSERT INTO orders (user_id, status, total, created_at)
    SELECT (ARRAY{})[1 + n % 20], (ARRAY['pending', 'processing', 'complete', 'cancelled'])[1 + n / 20 % 4], n,
           timestamp '2025-01-01' + n / 3 * interval '1 minute' FROM generate_series(1, 20000) AS n"""


def check(db: Graded) -> None:
    indexes = db.schema.tables["orders"].indexes
    new = sorted(set(indexes) - set(db.start.tables["orders"].indexes))
    if set(db.start.tables["orders"].indexes) - set(indexes):
        raise NotYet(
            "an index of orders that was there before is gone. The task is one new index; which old ones it makes redundant is another migration's question."
        )
    if not new:
        raise NotYet("orders has no new index.")
    if len(new) > 1:
        raise NotYet(
            f"orders has {len(new)} new indexes ({', '.join(new)}). One is enough, and every order pays for each."
        )
    if not indexes[new[0]].valid:
        raise NotYet(f"{new[0]} is INVALID (pg_index.indisvalid is false): no query will use it.")
    nodes = plan(db)
    kinds = {node["Node Type"] for node in nodes}
    if "Incremental Sort" in kinds and (absent := {"created_at", "id"} - set(indexes[new[0]].columns)):
        raise NotYet(
            f"the server sorts what the index leaves unsorted: the page is sorted by {absent.pop()} too, and {new[0]} lacks it."
        )
    if "Incremental Sort" in kinds:
        raise NotYet(
            f"the server reads an index and sorts part of it (Incremental Sort). The page's order is created_at DESC, id DESC, which "
            f"{new[0]} does not have, read forwards or backwards: {indexes[new[0]].definition}."
        )
    if (predicate := indexes[new[0]].predicate) and all(node.get("Index Name") != new[0] for node in nodes):
        raise NotYet(
            f"{new[0]} has only the orders WHERE {predicate}, and the page asks for status = 'pending': no plan can use it."
        )
    if "Sort" in kinds:
        raise NotYet("the server still sorts: it reads all open orders of the user to find the twenty newest.")
    scan = next(node for node in nodes if "Scan" in node["Node Type"])
    first = ahead(indexes[new[0]])
    way = scan.get("Index Name", "no index")
    if way != new[0] and "user_id" in first:
        raise NotYet(f"the server does not read the page by {new[0]}, but by {way} ({scan['Node Type']}).")
    if "user_id" not in first:
        raise NotYet(
            f"the plan goes through orders of other users ({scan['Node Type']}, {way}). Put first what the page compares with =."
        )
    if "status" in scan.get("Filter", ""):
        raise NotYet("the server reads orders that are not pending too, and throws them away (Filter in the plan).")
    if "status" not in first and "status" not in (indexes[new[0]].predicate or ""):
        raise NotYet(
            f"in {new[0]}, status stands behind what the page is sorted by: the server walks past the entries of the user's"
            " other orders, and the plan does not show it. Put first all that the page compares with =."
        )


def ahead(index) -> set[str]:
    """The columns of an index that stand before those that the page is sorted by."""
    return set(takewhile(lambda column: column not in ("created_at", "id"), index.columns))


def plan(db: Graded) -> list[dict]:
    """The nodes of the page's plan, from the top, where users have many orders."""
    users = [user["id"] for user in db.before["users"][-20:]]
    with db.session.transaction(force_rollback=True):
        db.session.execute(MANY.format(users))
        db.session.execute("ANALYZE orders")
        return db.plan(PAGE.format(users[6]))


def explain(error) -> str | None:
    if error.sqlstate == "42703" and (" DESC" in error.sentence or " ASC" in error.sentence):
        return (
            'op.create_index takes names of columns. A direction would be sa.text("created_at DESC"), with import sqlalchemy as sa; '
            "here none is needed, for an index is read backwards as well."
        )
    return None


PASSED = "twenty rows from one index, in the order of the page."
