"""Two queries that can't be changed, and the plans that the server makes for them."""

from migration_lab.grading import AlembicError, Graded, NotYet

QUERIES = {
    "tags": ("the tag page", "SELECT id FROM items WHERE tags @> '{vintage}'"),
    "metadata": ("the warranty page", "SELECT id FROM items WHERE metadata ? 'warranty'"),
}


def check(db: Graded) -> None:
    items = db.schema.tables.get("items")
    if items is None:
        raise NotYet("there is no table items any more. 0004_items makes it; leave that revision as it is.")
    rows, were = db.value("SELECT count(*) FROM items"), len(db.before["items"])
    if rows != were:
        raise NotYet(f"items has {rows} rows, and had {were}: indexes leave the rows alone.")
    db.session.execute("ANALYZE items")
    for column, (page, query) in QUERIES.items():
        plan = db.value(f"EXPLAIN (FORMAT JSON, COSTS OFF) {query}")
        if not indexes_in(plan[0]["Plan"]):
            raise NotYet(f"{page} still reads all of items (a Seq Scan): `{query}`. {why(items, column)}")
    way_back(db)


def way_back(db: Graded) -> None:
    """One revision down, where the table is still there: dropping it would take forgotten indexes along."""
    try:
        db.alembic("downgrade", "0004_items")
    except AlembicError as error:
        raise NotYet(f"both pages are fast, but `alembic downgrade 0004_items` failed: {error.sentence}.") from None
    left = db.rows("SELECT indexname FROM pg_indexes WHERE tablename = 'items' AND indexname <> 'pk_items' ORDER BY 1")
    if left:
        names = ", ".join(name for (name,) in left)
        raise NotYet(f"both pages are fast, but the downgrade leaves {names} behind, in the next upgrade's way.")
    db.alembic("upgrade", "head")


def indexes_in(node: dict) -> list[str]:
    below = [name for child in node.get("Plans", []) for name in indexes_in(child)]
    return below + ([node["Index Name"]] if "Index Name" in node else [])


def why(items, column: str) -> str:
    """What the index that was meant for this column lacks."""
    for index in items.indexes.values():
        if index.predicate and column in index.predicate and column not in index.columns:
            return (
                f"{index.name} holds only the rows WHERE {index.predicate}, which does not follow from the query's own WHERE: "
                "the planner can't use it."
            )
        if column not in " ".join(index.columns):
            continue
        if not index.valid:
            return f"{index.name} is INVALID: no query uses it until it is built again."
        if column not in index.columns:
            return (
                f"{index.name} is on {index.columns[0]}, and the query does not use that expression. "
                "An index on an expression serves the queries that repeat it, and no others."
            )
        if index.predicate:
            return f"{index.name} holds only the rows WHERE {index.predicate}, and the query does not say so."
        if "jsonb_path_ops" in index.definition:
            return (
                f"{index.name} uses jsonb_path_ops: one entry for each path with its value, which serves @>. "
                "The ? asks for a key alone, which GIN's default way of indexing a document lists."
            )
        if index.method != "gin":
            return (
                f"{index.name} is a {index.method}, which knows {column} only as one whole value. "
                'The query asks for what is inside: see "GIN, an index of what is inside".'
            )
        return f"{index.name} can't answer it alone: compare its columns with the query's WHERE."
    return f"No index holds {column}. Each of the two queries asks another column."


PASSED = "both pages find their items by an index."
