"""products.is_deleted and products.deleted_at agree: in the rows that were there, and in all that come."""

from migration_lab.grading import AlembicError, Graded, NotYet, snapshot

RULE = "ck_products_deleted"
GIVEN = "0004_archive"
INSERT = "INSERT INTO products (name, price, is_deleted, deleted_at) VALUES ('Teapot', 24.90, {}, {})"


def check(db: Graded) -> None:
    rows(db)
    rule(db)
    running_code(db)
    way_back(db)


def rows(db: Graded) -> None:
    """Products 1 to 7 were deleted without a time, 8 to 50 with one, 51 to 55 have the time alone."""
    gone = 1000 - db.value("SELECT count(*) FROM products")
    if gone:
        raise NotYet(f"{gone} products are gone. A row that contradicts itself is still a product: mend it.")
    revived = db.value("SELECT count(*) FROM products WHERE id <= 50 AND NOT is_deleted")
    if revived:
        raise NotYet(
            f"{revived} products that were deleted are on sale again: is_deleted is what the application reads, "
            "so is_deleted is right, and deleted_at has to follow it."
        )
    vanished = db.value("SELECT count(*) FROM products WHERE id > 50 AND is_deleted")
    if vanished:
        raise NotYet(f"{vanished} products that were on sale have vanished from the shop: is_deleted is right.")
    lost = db.value(
        "SELECT count(*) FROM products WHERE id BETWEEN 8 AND 50"
        " AND deleted_at IS DISTINCT FROM timestamptz '2025-11-03 12:00:00+00'"
    )
    if lost:
        raise NotYet(
            f"{lost} products that agreed with themselves have lost the time of their deletion. Mend only the others."
        )
    torn = db.value("SELECT count(*) FROM products WHERE is_deleted <> (deleted_at IS NOT NULL)")
    if torn:
        raise NotYet(f"{torn} products still contradict themselves. A rule that is NOT VALID looks at new rows only.")
    invented = db.value(
        "SELECT count(*) FROM products WHERE id <= 7 AND deleted_at NOT BETWEEN now() - interval '1 hour' AND now()"
    )
    if invented:
        raise NotYet(
            f"{invented} products have a time of deletion that never happened. "
            "Nobody knows the true one; the shop asked for the moment of the migration, by which they were deleted for certain."
        )


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
        raise NotYet(
            f"{RULE} takes a product that is deleted, and has no time: (true, NULL). "
            "A CHECK refuses only what is false, and a comparison with NULL is not false: ask IS NULL or IS NOT NULL."
        )
    if not db.refusal(INSERT.format("false", "now()")):
        raise NotYet(
            f"{RULE} takes a product that is not deleted, and has the time of its deletion: (false, now()). "
            "It forbids one of the two contradictions. The flag is true exactly when there is a time."
        )


def way_back(db: Graded) -> None:
    try:
        db.alembic("downgrade", GIVEN)
        if RULE in snapshot(db.session).tables["products"].constraints:
            raise NotYet(f"{RULE} is still there after the downgrade: downgrade() takes back what upgrade() did.")
        if db.value("SELECT count(*) FROM products WHERE id BETWEEN 8 AND 50 AND deleted_at IS NULL"):
            raise NotYet(
                "the downgrade took the time of deletion from products that had one. It takes the rule away, and no more."
            )
        db.alembic("upgrade", "head")
    except AlembicError as error:
        quoted = "\n".join(f"  {line}" for line in str(error).splitlines())
        raise NotYet(f"the upgrade is right, but down and up again failed.\n{quoted}") from None


def explain(error) -> str | None:
    if error.sqlstate == "23514":
        return (
            "Rows that are there break the rule. Those that contradict themselves: mend them first, then add it. "
            "If you did, the rule refuses good rows too: it is too strict."
        )
    return None


PASSED = "the two columns tell one story, and the server sees to it that they go on doing so."
