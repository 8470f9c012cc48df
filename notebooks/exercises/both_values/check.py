"""orders.status: complete and completed, no other word at any moment, and no scan that anybody waits for."""

from decimal import Decimal

from migration_lab.grading import Graded, NotYet, WrongRows, snapshot, ways_in

GIVEN = "0004_status_check"
WRITE = "UPDATE orders SET status = %s WHERE id = (SELECT max(id) FROM orders)"
# Puts the word back at once, and leaves a trace where it was taken.
SLIPS_IN = """DO $$ BEGIN
    UPDATE orders SET status = 'lost' WHERE id = {order};
    UPDATE orders SET status = 'complete', total = 12345.67 WHERE id = {order};
EXCEPTION WHEN check_violation THEN NULL; END $$"""


def check(db: Graded) -> None:
    if db.refusal(WRITE, "complete"):
        raise NotYet(
            "old code, which writes complete until its last server is gone, gets an error now. Take both words."
        )
    if db.refusal(WRITE, "completed"):
        raise NotYet("new code can't write completed yet: the check refuses it.")
    for word in ("pending", "processing", "cancelled"):
        if db.refusal(WRITE, word):
            raise NotYet(f"orders refuses {word} now, which it took before.")
    moved = [order for (order,) in db.rows("SELECT id FROM orders WHERE status = 'completed' ORDER BY id")]
    if moved:
        raise WrongRows(
            f"{len(moved)} orders, such as order {moved[0]}, have lost the word that old code asks for: while it runs, their rows "
            "keep complete."
        )
    if not db.refusal(WRITE, "lost"):
        raise NotYet("orders takes the status 'lost': no check is left that knows the words.")
    for word in ("Complete", "completely", "complete ", "completed ", " completed", "completedly", ""):
        if not db.refusal(WRITE, word):
            raise NotYet(f"orders takes the status {word!r}: the check lets in more than the five words.")
    order = {"user_id": db.before["users"][-1]["id"], "status": "completed", "total": 9}
    if ways := ways_in(db, "orders", {"status": "lost"}, order):
        raise NotYet(f"the status 'lost' gets in by {ways}: the check holds some of the orders, and not all.")
    unproven = [check for check in checks(db) if not check.validated]
    if unproven:
        raise NotYet(
            f"{unproven[0].name} is NOT VALID (pg_constraint.convalidated is false): it says nothing of the orders that were there before."
        )
    nobody_waited_for_a_scan(db)
    at_every_step(db)
    in_the_queue(db)


def in_the_queue(db: Graded) -> None:
    """Who stands in the queue behind the migration writes as soon as it lets go: is a check there by then?"""
    kept, order = [row["id"] for row in db.before["orders"] if row["status"] == "complete"][-2:]
    db.alembic("downgrade", GIVEN)
    db.upgrade_beside_writers(f"UPDATE orders SET total = total WHERE id = {kept}", SLIPS_IN.format(order=order))
    if db.value("SELECT total FROM orders WHERE id = %s", order) == Decimal("12345.67"):
        raise NotYet(
            "a writer who had waited for your migration wrote the status 'lost' in the middle of it: the old check was gone and "
            "the new one not yet there. In an autocommit_block each statement is a transaction; add and drop in one."
        )


def checks(db: Graded) -> list:
    return [one for one in db.schema.tables["orders"].constraints.values() if one.kind == "check"]


def nobody_waited_for_a_scan(db: Graded) -> None:
    for moment in db.trace.under():
        if moment.statement.revision == GIVEN:
            continue
        if moment.did == "scanned":
            raise NotYet(
                f"the server read all orders under {moment.mode}, and {moment.blocks} waited: {moment}. "
                "Let the check come NOT VALID, and prove it in a later transaction, under no stronger lock than VALIDATE takes."
            )
        raise NotYet(f"others waited while the server worked on rows: {moment}. Nobody should wait for that.")


def at_every_step(db: Graded) -> None:
    """Go down to the given check and up again one revision at a time: what does the application meet in between?"""
    steps = [revision.revision for revision in reversed(db.revisions()) if revision.revision != GIVEN]
    db.downgrade(GIVEN)
    if not db.refusal(WRITE, "lost") or "ck_orders_status" not in snapshot(db.session).tables["orders"].constraints:
        raise NotYet(
            f"downgrade() ran, and does not lead back to {GIVEN}: ck_orders_status is gone, with the four words that it let in."
        )
    for step in steps:
        db.alembic("upgrade", step)
        if not db.refusal(WRITE, "lost"):
            raise NotYet(
                f"after {step}, orders takes the status 'lost': for a while anything was let in. Let the new check come before the old one goes."
            )
        if db.refusal(WRITE, "complete"):
            raise NotYet(f"after {step}, orders refuses complete for a while: old code gets errors.")


def explain(error) -> str | None:
    if error.sqlstate == "23514":
        return "There are orders with a word that your check leaves out. While old code runs, its words stay known."
    return None


PASSED = "both words are taken, no other ever was, and nobody waited for a scan."
