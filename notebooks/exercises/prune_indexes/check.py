"""example_items: every query has its index, and every index has its query."""

import json

from migration_lab.grading import Graded, NotYet

QUERIES = [
    "WHERE id = {id}",
    "WHERE name = '{name}'",
    "WHERE is_active = false",
    "ORDER BY created_at DESC LIMIT 20",
    "WHERE user_id = {user_id} ORDER BY created_at DESC LIMIT 20",
]


def check(db: Graded) -> None:
    table = db.schema.tables.get("example_items")
    if table is None:
        raise NotYet("example_items is gone. The task is about its indexes.")
    if not any(one.kind == "primary key" for one in table.constraints.values()):
        raise NotYet("example_items has no primary key any more: two rows could have one id.")
    if not any(one.unique and one.columns == ("name",) for one in table.indexes.values()):
        raise NotYet(
            "nothing keeps two items of one name out any more. A unique index is a rule, not only a way to find rows."
        )
    db.session.execute("ANALYZE example_items")
    for query in queries(db):
        if fault := fault_of(plan(db, query)):
            raise NotYet(f"the query `{query}` {fault}. See its plan: EXPLAIN SELECT * FROM example_items {query}")
    left = [
        name
        for name, index in table.indexes.items()
        if index.constraint is None and not index.unique and needless(db, name)
    ]
    if left:
        raise NotYet(f"every query has its index, but {told(db, left)}. Each insert pays for it.")


def queries(db: Graded) -> list[str]:
    """The application's queries, about one of the items that were there before the upgrade."""
    items = db.before["example_items"]
    return [query.format(**items[len(items) // 3]) for query in QUERIES]


def plan(db: Graded, query: str) -> str:
    """The nodes of a query's plan, as JSON."""
    return json.dumps(db.session.execute(f"EXPLAIN (FORMAT JSON) SELECT * FROM example_items {query}").fetchone()[0])


def fault_of(plan: str) -> str | None:
    if "Seq Scan" in plan:
        return "reads the whole table now"
    if "Sort" in plan:
        return "is sorted now: the server reads all of the rows that fit, to find twenty"
    if '"Filter"' in plan:
        return "reads other users' items now and throws them away"
    return None


def needless(db: Graded, name: str) -> bool:
    """Whether all queries keep a good plan without this index."""
    with db.session.transaction(force_rollback=True):
        db.session.execute(f'DROP INDEX "{name}"')
        return not any(fault_of(plan(db, query)) for query in queries(db))


def told(db: Graded, names: list[str]) -> str:
    if len(names) > 1:
        return f"{len(names)} indexes are left that none of them needs: {', '.join(sorted(names))}"
    indexes = db.schema.tables["example_items"].indexes
    columns = indexes[names[0]].columns
    longer = [
        other for other, index in indexes.items() if other != names[0] and index.columns[: len(columns)] == columns
    ]
    return (
        f"{names[0]} is left, {f'whose columns {longer[0]} begins with and ' if longer else ''}which none of them needs"
    )


PASSED = "five indexes for five queries, two of them the constraints' own, and no plan has suffered."
