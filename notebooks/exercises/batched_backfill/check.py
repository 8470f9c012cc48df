"""orders.status: completed, in transactions of at most a hundred rows, and as often as one likes."""

from migration_lab.grading import AlembicError, Graded, NotYet

MOST = 100  # orders in a transaction
SLOW = 996  # an order that the last batch writes
GIVEN = "0004_typed_by_hand"
SINCE = (200, 1)  # the highest id ends a hundred, and then it begins one
BOUGHT_SINCE = "INSERT INTO orders (user_id, status, total) SELECT 7, 'complete', 9.99 FROM generate_series(1, %s::int)"
# What the shop's data say of each order, with the new word.
RIGHT = """CASE WHEN id % 100 = 0 THEN 'cancelled' WHEN id % 20 = 1 THEN 'pending' WHEN id % 20 = 2 THEN 'processing'
    ELSE 'completed' END"""


def check(db: Graded) -> None:
    left = db.value("SELECT count(*) FROM orders WHERE status = 'complete'")
    if left:
        raise NotYet(f"{left} orders still have the status complete. The last batch must reach the highest id.")
    typed = db.rows(
        "SELECT DISTINCT quote_literal(status) FROM orders WHERE lower(trim(status)) = 'complete' ORDER BY 1"
    )
    if typed:
        words = " and ".join(word for (word,) in typed)
        raise NotYet(
            f"orders that were typed by hand still say {words}. New code knows completed, and nothing that looks like it."
        )
    other = db.value(f"SELECT count(*) FROM orders WHERE status <> {RIGHT}")
    if other:
        raise NotYet(
            f"{other} orders that were not finished have another status than before: the WHERE takes too much."
        )
    together = db.written_together("orders")
    if together > MOST:
        raise NotYet(
            f"one transaction wrote {together} orders, {how(db)}. Whoever wants to change one of them waits for its "
            f"commit; at most {MOST} were allowed."
        )
    waited = beside_a_slow_buyer(db)
    if waited > 1:
        raise NotYet(
            f"a buyer who wanted to change order 4 waited {waited:.1f} s, while the backfill waited for order {SLOW} at the other end "
            "of the table. What is written in small parts is let go at the commit; a savepoint ends no transaction."
        )
    skipped = db.value("SELECT count(*) FROM orders WHERE lower(trim(status)) = 'complete'")
    if skipped:
        raise NotYet(
            f"a buyer kept order {SLOW} for some seconds; the backfill passed it by, ended with exit status 0, and {skipped} order still "
            "says complete. Whoever skips what is locked has to come back for it, until nothing is left."
        )
    for since in SINCE:
        run_again(db, since)


def run_again(db: Graded, since: int) -> None:
    db.session.execute(BOUGHT_SINCE, [since])
    again = written_again(db) - since
    if again > 0:
        raise NotYet(
            f"run once more, as after a break, it wrote {again} orders that were done already. "
            "The WHERE should find only what is left to do."
        )
    left = db.value("SELECT count(*) FROM orders WHERE status = 'complete'")
    if left:
        raise NotYet(
            f"{since} orders were finished since, and the next run left {left} of them: where the ids end, the table knows, SELECT max(id), "
            "each time that it is asked; and the last batch takes that id too, whatever it is (range leaves its end out)."
        )


def how(db: Graded) -> str:
    if any((statement.rows or 0) > MOST for statement in db.trace.statements):
        return "by one statement"
    return "in batches that were let go together: a loop is not enough"


def beside_a_slow_buyer(db: Graded) -> float:
    """Fill once more while a buyer keeps one of the last orders: the seconds that another waits for one of the first."""
    db.session.execute("UPDATE orders SET status = 'complete' WHERE status = 'completed'")
    db.alembic("stamp", GIVEN)
    buy = "UPDATE orders SET total = total WHERE id = {}"
    try:
        return db.upgrade_beside_writers(buy.format(SLOW), buy.format(4))[1]
    except AlembicError:
        return (
            0.0  # it gave up waiting, which a backfill may; what it had committed stays, and a second run does the rest
        )
    finally:
        db.alembic("upgrade", "head")


def written_again(db: Graded) -> int:
    """How many orders one more run writes."""
    before = db.now()
    db.alembic("stamp", GIVEN)
    try:
        db.alembic("upgrade", "head")
    except AlembicError as error:
        raise NotYet(f"run once more, as after a break, it failed: {error.sentence}.") from None
    return db.rows_written("orders", before)


def explain(error: AlembicError) -> str | None:
    if error.sqlstate == "55P03":
        return (
            "Somebody holds rows that your migration waits for. If it opened a session of its own, that somebody is Alembic's open "
            "transaction: leave it first, by autocommit_block()."
        )
    return None


PASSED = "every finished order is completed, in transactions that are soon over, and a second run finds nothing to do."
