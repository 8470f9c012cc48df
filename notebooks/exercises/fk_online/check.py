"""fk_reviews_product_id, made and proved while both tables are written to, and an index on its column."""

from migration_lab.grading import Graded, NotYet, WrongRows, ways_to_orphan

KEY = "fk_reviews_product_id"
PRODUCT = {"name": "Teapot", "price": "24.90"}
TABLES = {"public.reviews", "public.products"}


def check(db: Graded) -> None:
    every_review_is_there(db)
    the_key_stands(db)
    the_child_is_indexed(db)
    nobody_waited_for_a_scan(db)


def every_review_is_there(db: Graded) -> None:
    now = {review for (review,) in db.rows("SELECT id FROM reviews")}
    gone = [review for review in db.before["reviews"] if review["id"] not in now]
    if gone:
        raise WrongRows(
            f"{len(gone)} reviews are gone, such as review {gone[0]['id']} of product {gone[0]['product_id']}. "
            "Nothing was to be deleted."
        )


def the_key_stands(db: Graded) -> None:
    key = db.schema.tables["reviews"].constraints.get(KEY)
    if key is None or key.kind != "foreign key":
        raise NotYet(f"reviews has no foreign key {KEY} after the upgrade.")
    if (key.columns, key.referred_table, key.referred_columns) != (("product_id",), "products", ("id",)):
        raise NotYet(f"{KEY} should lead from reviews.product_id to products.id: {key.definition}.")
    if not key.validated:
        raise NotYet(
            f"{KEY} is NOT VALID (pg_constraint.convalidated is false). New reviews are held to it, but of the old ones "
            "nobody has looked whether their product exists."
        )
    product = db.before["reviews"][-1]["product_id"]
    if db.refusal("DELETE FROM products WHERE id = %s", product) is None:
        raise NotYet(
            f"product {product} was deleted, and its reviews went with it or lost it. "
            "A product that has reviews should stay: look at what the key does ON DELETE."
        )
    review = {"product_id": product, "body": "Fine"}
    if ways := ways_to_orphan(db, "reviews", "product_id", "products", review, PRODUCT):
        raise NotYet(f"a review of a product that is not there gets in by {ways}, although {KEY} stands in the table.")


def the_child_is_indexed(db: Graded) -> None:
    indexes = db.schema.tables["reviews"].indexes.values()
    if not any(index.valid and not index.predicate and index.columns[:1] == ("product_id",) for index in indexes):
        raise NotYet(
            "no index begins with product_id. The key looks after reviews whenever a product is deleted, "
            "and would read the whole table each time: PostgreSQL makes an index for the parent's side alone."
        )


def nobody_waited_for_a_scan(db: Graded) -> None:
    """Nothing reads all the reviews, and no index is built, under a lock that blocks writes to either table."""
    for moment in db.trace.under():
        if moment.relation not in TABLES or moment.statement.revision == "0004_reviews":
            continue
        if moment.did == "built":
            raise NotYet(
                f"an index was built under a lock which kept every review out: {moment}. "
                "`postgresql_concurrently=True` builds beside the writers, in an `autocommit_block()`."
            )
        if moment.did == "scanned" and moment.taken_by is moment.statement:
            raise NotYet(
                f"the key was made and checked in one step: {moment}. Nobody could write while every review was read. "
                "Make it NOT VALID first, and validate it later."
            )
        if moment.did == "scanned" and "NOT VALID" in moment.taken_by.sql.upper():
            raise NotYet(
                f"NOT VALID and VALIDATE ran in one transaction: {moment}. A lock is held until the commit, "
                "so writers waited for the scan all the same."
            )
        raise NotYet(f"writers waited while the server worked on rows: {moment}. A lock is held until the commit.")


def explain(error) -> str | None:
    if error.sqlstate == "42704" and KEY in error.sentence:
        return f"There is no such constraint yet: the revision that makes {KEY} comes before the one that validates it."
    return None


PASSED = "each review belongs to a product, the column is indexed, and no writer had to wait for a scan."
