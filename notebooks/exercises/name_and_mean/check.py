"""products.price is positive, by a check whose name says so once."""

from migration_lab.grading import AlembicError, Graded, NotYet, snapshot, ways_in

NAME = "ck_products_price_positive"
INSERT = "INSERT INTO products (name, price) VALUES ('Teapot', %s)"
TEAPOT = {"name": "Teapot", "price": "24.90"}


def check(db: Graded) -> None:
    constraint = db.schema.tables["products"].constraints.get(NAME)
    if constraint is None or constraint.kind != "check":
        raise NotYet(missing(db))
    if "NOT ENFORCED" in constraint.definition:
        raise NotYet(f"{NAME} is NOT ENFORCED (pg_constraint.conenforced is false): because of it nothing is refused.")
    taken("0", db, "Nothing is sold for nothing: `>= 0` is *not negative*, and the name says positive.")
    taken("-1", db, "A negative price is not positive.")
    taken("NaN", db, "PostgreSQL puts NaN above every number, so that `price > 0` is true of it: keep it out by name.")
    for price in ("0.01", "99999999.99"):
        if refused := db.refusal(INSERT, price):
            raise NotYet(
                f"a price of {price} is refused, though it is above zero: {refused.diag.message_primary}. "
                "What keeps out good rows stops somebody's work."
            )
    if not constraint.validated:
        raise NotYet(
            f"{NAME} is NOT VALID (pg_constraint.convalidated is false): it holds new rows to the rule, and the "
            "products that were there before are not proved. VALIDATE does that."
        )
    beside_a_product_for_nothing(db)


def beside_a_product_for_nothing(db: Graded) -> None:
    """Once more up, with an old product that breaks the rule: the migration may fail, but not leave it and say nothing."""
    db.downgrade(db.start_revision)
    product = db.session.execute("INSERT INTO products (name, price) VALUES ('Gift', 0) RETURNING id").fetchone()[0]
    try:
        db.alembic("upgrade", "head")
    except AlembicError:
        db.session.execute(f"ALTER TABLE products DROP CONSTRAINT IF EXISTS {NAME}")
        db.session.execute("DELETE FROM products WHERE id = %s", [product])
        db.alembic("upgrade", "head")
        return
    price = db.value("SELECT price FROM products WHERE id = %s", product)
    if price is None or price > 0:
        became = "is gone" if price is None else f"costs {price} now"
        raise NotYet(
            f"an old product had a price of 0, and {became}: what it is to cost is not for a migration to say."
        )
    valid = snapshot(db.session).tables["products"].constraints[NAME].validated
    raise NotYet(
        f"an old product had a price of 0, and the upgrade ended as if all were well; {NAME} is "
        f"{'there all the same' if valid else 'NOT VALID then'}. A proof that fails has to be heard: let its error out."
    )


def missing(db: Graded) -> str:
    checks = sorted(one.name for one in db.schema.tables["products"].constraints.values() if one.kind == "check")
    if any(NAME in name for name in checks):
        return (
            f"the name has come out double: {', '.join(checks)}, and {NAME} is asked for. The convention in env.py puts "
            "its beginning before the name that it is given, unless that one is marked as final."
        )
    found = f"products has {', '.join(checks)}" if checks else "products has no check after the upgrade"
    return f"{found}, and {NAME} is asked for. The next migration will look for it by that name."


def taken(price: str, db: Graded, why: str) -> None:
    if db.refusal(INSERT, price) is None:
        raise NotYet(f"a price of {price} is taken. {why}")
    if ways := ways_in(db, "products", {"price": price}, TEAPOT):
        raise NotYet(f"a price of {price} gets in by {ways}. Every product is held to the rule, the old ones too.")


def explain(error) -> str | None:
    if error.sqlstate == "23514":
        return (
            "A product that is there breaks the check, and every one of them costs more than nothing; some cost a cent. "
            "A check that keeps out good rows stops somebody's work."
        )
    return None


PASSED = "one cent is a price; zero, NaN and less are none; and whoever is refused reads why in the name."
