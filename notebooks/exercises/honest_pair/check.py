"""products.is_deleted and products.deleted_at agree: in the rows that were there, and in all that come."""

import psycopg

from migration_lab.grading import AlembicError, Graded, NotYet, WrongRows, quoted, snapshot, ways_in

RULE = "ck_products_deleted"
GIVEN = "0004_archive"
INSERT = "INSERT INTO products (name, price, is_deleted, deleted_at) VALUES ('Teapot', 24.90, {}, {})"


def check(db: Graded) -> None:
    rows(db)
    rule(db)
    running_code(db)
    way_back(db)


def rows(db: Graded) -> None:
    """Some products were deleted without a time, some have the time alone; the others agree with themselves."""
    now = {row[0]: row for row in db.rows("SELECT id, is_deleted, deleted_at FROM products")}
    gone = [product["id"] for product in db.before["products"] if product["id"] not in now]
    if gone:
        raise WrongRows(
            f"{len(gone)} products are gone, such as product {gone[0]}. A row that contradicts itself is still a product: mend it."
        )
    revived = [one["id"] for one in db.before["products"] if one["is_deleted"] and not now[one["id"]][1]]
    if revived:
        raise WrongRows(
            f"{len(revived)} products that were deleted are on sale again, such as product {revived[0]}: is_deleted is what the "
            "application reads, so is_deleted is right, and deleted_at has to follow it."
        )
    vanished = [one["id"] for one in db.before["products"] if now[one["id"]][1] and not one["is_deleted"]]
    if vanished:
        raise WrongRows(
            f"{len(vanished)} products that were on sale have vanished from the shop, such as product {vanished[0]}: "
            "is_deleted is right."
        )
    lost = [one for one in deleted_with_a_time(db) if now[one["id"]][2] != one["deleted_at"]]
    if lost:
        product, time = lost[0]["id"], lost[0]["deleted_at"]
        raise WrongRows(
            f"{len(lost)} products that agreed with themselves have lost the time of their deletion: that of product {product} was "
            f"{time}, and is {now[product][2]} now. Mend only the others."
        )
    torn = [product for product, flag, time in now.values() if flag != (time is not None)]
    if torn:
        raise WrongRows(
            f"{len(torn)} products still contradict themselves, such as product {torn[0]}. "
            "A rule that is NOT VALID looks at new rows only."
        )
    mended = [one["id"] for one in db.before["products"] if one["is_deleted"] and one["deleted_at"] is None]
    invented = db.rows(
        "SELECT id, deleted_at FROM products"
        " WHERE id = ANY(%s) AND deleted_at NOT BETWEEN now() - interval '1 hour' AND now() ORDER BY id",
        mended,
    )
    if invented:
        product, time = invented[0]
        raise WrongRows(
            f"{len(invented)} products have a time of deletion that never happened: product {product} has {time}. "
            "Nobody knows the true one; the shop asked for the moment of the migration, by which they were deleted for certain."
        )


def deleted_with_a_time(db: Graded) -> list[dict]:
    return [one for one in db.before["products"] if one["is_deleted"] and one["deleted_at"] is not None]


def rule(db: Graded) -> None:
    constraint = db.schema.tables["products"].constraints.get(RULE)
    if constraint is None or constraint.kind != "check":
        raise NotYet(
            f"the rows agree, but there is no constraint {RULE} of kind CHECK on products: "
            "the next hurried script writes the next contradiction."
        )
    if not constraint.validated:
        raise NotYet(
            f"{RULE} was never validated (pg_constraint.convalidated is false), so it promises nothing about old rows. "
            "They are mended: leave out NOT VALID, or VALIDATE CONSTRAINT."
        )


def running_code(db: Graded) -> None:
    for flag, time in (("true", "now()"), ("false", "NULL")):
        refused = db.refusal(INSERT.format(flag, time))
        if refused:
            raise NotYet(
                f"the running code can't write is_deleted = {flag} with deleted_at = {time} any more: "
                f"{refused.diag.message_primary}. That pair agrees, and has to be taken."
            )
    if not db.refusal(INSERT.format("true", "NULL")):
        raise NotYet(f"{RULE} takes a product that is deleted, and has no time: (true, NULL). {why_taken(db)}")
    if not db.refusal(INSERT.format("false", "now()")):
        raise NotYet(
            f"{RULE} takes a product that is not deleted, and has the time of its deletion: (false, now()). "
            "It forbids one of the two contradictions. The flag is true exactly when there is a time."
        )
    for flag, time in ((True, None), (False, "2026-01-12 12:00:00+00")):
        agrees = {"name": "Teapot", "price": "24.90", "is_deleted": not flag, "deleted_at": time}
        if ways := ways_in(db, "products", {"is_deleted": flag}, agrees):
            raise NotYet(
                f"a product with is_deleted = {flag} and deleted_at = {time} gets in by {ways}: {RULE} holds some alone."
            )


def why_taken(db: Graded) -> str:
    """Why a CHECK takes a product that is deleted and has no time: it is true of it, or neither true nor false."""
    definition = db.schema.tables["products"].constraints[RULE].definition
    rule = definition.removeprefix("CHECK ").removesuffix(" NOT VALID")
    product = "SELECT (jsonb_populate_record(NULL::products, %s)).*"
    try:
        [(says,)] = db.rows(f"SELECT {rule} FROM ({product}) AS product", '{"is_deleted": true}')
    except psycopg.Error:
        return f"It says {definition}."
    if says:
        return f"It is true of that: {definition}."
    return "A CHECK refuses only what is false, and a comparison with NULL is not false: ask IS NULL or IS NOT NULL."


def way_back(db: Graded) -> None:
    sold_out = next(one["id"] for one in reversed(db.before["products"]) if not one["is_deleted"])
    [(time,)] = db.session.execute(
        "UPDATE products SET is_deleted = true, deleted_at = now() WHERE id = %s RETURNING deleted_at", [sold_out]
    ).fetchall()
    try:
        db.alembic("downgrade", GIVEN)
        if db.value("SELECT deleted_at FROM products WHERE id = %s", sold_out) != time:
            raise NotYet(
                f"the running code deleted product {sold_out} after the upgrade, with the time; after the downgrade that time is "
                "gone. The way back takes the rule away, and no more."
            )
        db.session.execute("UPDATE products SET is_deleted = false, deleted_at = NULL WHERE id = %s", [sold_out])
        if RULE in snapshot(db.session).tables["products"].constraints:
            raise NotYet(f"{RULE} is still there after the downgrade: downgrade() takes back what upgrade() did.")
        now = dict(db.rows("SELECT id, deleted_at FROM products"))
        for product in deleted_with_a_time(db):
            if now.get(product["id"]) != product["deleted_at"]:
                raise WrongRows(
                    f"the downgrade took the time of deletion from products that had one: product {product['id']} had "
                    f"{product['deleted_at']}. It takes the rule away, and no more."
                )
        if lost := db.lost_on_the_way_back():
            raise NotYet(f"after the downgrade {lost[0]}. It takes the rule away, and leaves every product as it is.")
        db.alembic("upgrade", "head")
    except AlembicError as error:
        raise NotYet(f"the upgrade is right, but down and up again failed.\n{quoted(error)}") from None


def explain(error) -> str | None:
    if error.sqlstate == "23514":
        return (
            "Rows that are there break the rule. Either some of them contradict themselves: mend them first, by what "
            "contradicts and not by their ids. Or the rule is too strict, and refuses good rows."
        )
    return None


PASSED = "the two columns tell one story, and the server sees to it that they go on doing so."
