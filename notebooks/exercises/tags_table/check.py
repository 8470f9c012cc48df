"""product_tags: a row for each pair, and rules that no array can keep."""

from migration_lab.grading import Graded, NotYet, WrongRows, text_fault, ways_in, ways_to_orphan

COLUMNS = ("product_id", "tag")
TABLE = "SELECT product_id, tag FROM product_tags"
PRODUCT = {"name": "Teapot", "price": "24.90"}


def check(db: Graded) -> None:
    if "tags" not in db.schema.tables["products"].columns:
        raise NotYet("products has no column tags any more, and old code still reads it. Drop it in a later release.")
    table = db.schema.tables.get("product_tags")
    if table is None:
        raise NotYet("there is no table product_tags after the upgrade.")
    for name in COLUMNS:
        if name not in table.columns:
            raise NotYet(f"product_tags has no column {name}.")
        if table.columns[name].nullable:
            raise NotYet(f"product_tags.{name} allows NULL: a pair has two halves.")
    key, tag = (table.columns[name].type for name in COLUMNS)
    if key != "integer":
        raise NotYet(f"product_tags.product_id is {key}; integer is asked for, as products.id is.")
    untagged = next(product["id"] for product in db.before["products"] if not product["tags"])
    if fault := text_fault(db, "product_tags", "tag", 50, {"product_id": untagged}):
        raise NotYet(f"product_tags.tag is {tag}; character varying(50) is asked for, as in products: it {fault}.")
    rows(db)
    rules(db)
    ways = {index.columns[0] for index in table.indexes.values() if index.valid and index.predicate is None}
    for name, question in (("tag", "the products of one tag"), ("product_id", "the tags of one product")):
        if name not in ways:
            raise NotYet(
                f"no index begins with {name}, so {question} are found by reading the whole table. "
                "An index over two columns is ordered by the first of them."
            )


def rows(db: Graded) -> None:
    now = dict(db.rows("SELECT id, tags FROM products"))
    for product in db.before["products"]:
        if now.get(product["id"]) != product["tags"]:
            raise WrongRows(
                f"the arrays are not what they were: products.tags of product {product['id']} was {product['tags']} and is "
                f"{now.get(product['id'])} now. It stays for now, and old code reads it."
            )
    expected = {(product["id"], tag) for product in db.before["products"] for tag in product["tags"] or []}
    found = set(db.rows(TABLE))
    if not found:
        raise NotYet(f"product_tags is empty: the {len(expected)} pairs of the arrays are not in it.")
    if missing := expected - found:
        product, tag = min(missing)
        raise WrongRows(
            f"{len(missing)} of the pairs that the arrays hold are not in product_tags: product {product} has the tags "
            f"{now[product]}, and the table lacks {tag!r}, letter by letter. `unnest` gives a row for each element."
        )
    if surplus := found - expected:
        product, tag = min(surplus)
        raise WrongRows(
            f"product_tags holds {len(surplus)} pairs that no array has: {tag!r} of product {product}, whose tags are "
            f"{now.get(product)}."
        )


def rules(db: Graded) -> None:
    pairs = "INSERT INTO product_tags (product_id, tag) VALUES "
    without = next(product["id"] for product in reversed(db.before["products"]) if not product["tags"])
    nobody = db.before["products"][-1]["id"] + 1
    if not db.refusal(pairs + f"({without}, 'kitchen'), ({without}, 'kitchen')"):
        raise NotYet(f"the server took it that product {without} has tag kitchen twice. A key keeps each pair single.")
    if not db.refusal(pairs + f"({nobody}, 'kitchen')"):
        raise NotYet(
            f"the server took a tag of product {nobody}, which does not exist. A foreign key leads to products."
        )
    table = db.schema.tables["product_tags"]
    for key in table.constraints.values():
        if key.kind == "foreign key" and key.columns == ("product_id",) and key.referred_table != "products":
            raise NotYet(
                f"product_id leads to {key.referred_table}: {key.definition}. A foreign key leads to products."
            )
    refused = db.refusal(pairs + f"({without}, 'kitchen')")
    if refused:
        raise NotYet(
            f"product {without} can't get a tag that others have: {refused.diag.message_primary}."
            + " The pair is unique, not its halves." * (refused.sqlstate == "23505")
        )
    pair = {"product_id": without, "tag": "kitchen"}
    tagged = next(product["id"] for product in reversed(db.before["products"]) if "kitchen" in (product["tags"] or []))
    if ways := ways_in(db, "product_tags", {"product_id": tagged}, pair):
        raise NotYet(
            f"product {tagged} gets the tag kitchen twice by {ways}. A key keeps each pair single, however it is written."
        )
    if ways := ways_to_orphan(db, "product_tags", "product_id", "products", pair, PRODUCT):
        raise NotYet(
            f"a tag stands without its product after {ways}. A foreign key from product_id to products leaves no way."
        )


def explain(error) -> str | None:
    if error.sqlstate == "23503":
        return "Some product has no such row there. A foreign key of product_tags leads to products."
    if error.sqlstate == "23505":
        return "Some arrays hold one tag twice. The table is to have each pair once: ask for DISTINCT pairs."
    if error.sqlstate == "42P10":
        return "ON CONFLICT needs a key or a unique index that says which pairs are the same."
    return None


PASSED = "each product has each tag once, every pair was brought over, and both ways have an index."
