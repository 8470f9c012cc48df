"""The table reviews, to the letter of its specification."""

from migration_lab.grading import Graded, NotYet, text_fault

TYPES = {
    "id": "bigint",
    "product_id": "integer",
    "title": "character varying(80)",
    "body": "text",
    "rating": "numeric(2,1)",
    "helpful": "integer",
    "published": "boolean",
}
WHY_TYPE = {
    "id": "An integer key ends at 2147483647, and widening it later rewrites the table.",
    "rating": "A float keeps 4.1 only nearly, and takes 17 stars without a word.",
    "title": "A longer title should be refused, not stored.",
}
ANOTHER_NUMERIC = "The first number counts all digits, the second one those behind the point."
WHY_NULL = {
    "body": "A review may be stars and a title alone: body is the one column that may be missing.",
    "published": "A boolean that may be NULL has three values: neither `published` nor `NOT published` finds the third.",
}
REVIEW = {"product_id": 1, "rating": 4.5}
INSERT = (
    "INSERT INTO reviews (product_id, title, rating) VALUES (1, 'Fine', 4.5) RETURNING helpful, published, body, id"
)


def check(db: Graded) -> None:
    table = db.schema.tables.get("reviews")
    if table is None:
        raise NotYet("there is no table reviews after the upgrade. `upgrade()` should create it.")
    for name, wanted in TYPES.items():
        column = table.columns.get(name)
        if column is None:
            raise NotYet(f"reviews has no column {name}; the specification asks for one of type {wanted}.")
        if column.type != wanted and not (name == "title" and column.type.startswith(("text", "character"))):
            why = ANOTHER_NUMERIC if column.type.startswith("numeric") else WHY_TYPE.get(name, "")
            raise NotYet(f"reviews.{name} is {column.type}, not {wanted}. {why}".strip())
        if column.nullable != (name == "body"):
            found, asked = ("allows NULL", "NOT NULL") if column.nullable else ("is NOT NULL", "nullable")
            why = WHY_NULL.get(name, "A review without it would slip in.")
            raise NotYet(f"reviews.{name} {found}, and {asked} is asked for. {why}")
    key = [key for key in table.constraints.values() if key.kind == "primary key"]
    if not key or key[0].columns != ("id",):
        raise NotYet("reviews.id is not the primary key.")
    if key[0].name != "pk_reviews":
        whose = ", PostgreSQL's choice," if key[0].name == "reviews_pkey" else ""
        raise NotYet(
            f"the primary key is called {key[0].name}{whose} and not pk_reviews. "
            "A later migration has to name what it changes: give it the project's name."
        )
    defaults(db)
    if fault := text_fault(db, "reviews", "title", 80, REVIEW):  # a CHECK is as good as a type's limit
        title = table.columns["title"].type
        raise NotYet(f"reviews.title is {title}, not {TYPES['title']}: it {fault}. {WHY_TYPE['title']}")
    if not table.columns["id"].identity:
        raise NotYet(
            f"reviews.id is no identity: its default is {table.columns['id'].default}, a sequence beside the table. "
            "sa.Identity(), in its sa.Column, says in the column itself where the numbers come from."
        )
    if not table.columns["rating"].comment:
        raise NotYet("reviews.rating has no comment. `\\d+ reviews` should tell the next person what the number means.")


def defaults(db: Graded) -> None:
    """Insert as someone would who knows nothing of the application's Python."""
    refused = db.refusal(INSERT)
    if refused:
        why = "A default= in Python exists for SQLAlchemy alone; server_default is the database's own."
        raise NotYet(
            f"an INSERT by psql that leaves out helpful, published and id failed: {refused.diag.message_primary}. "
            f"{why if refused.sqlstate == '23502' else ''}".strip()
        )
    helpful, published, body, _ = db.rows(INSERT)[0]
    if (helpful, published, body) != (0, False, None):
        raise NotYet(
            f"a new review has helpful = {helpful} and published = {published}; it should begin with 0 and false."
        )


PASSED = "reviews is what the specification says, and anyone may insert into it, in Python or not."
