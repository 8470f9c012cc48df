"""orders.status: completed, in transactions of at most a hundred rows, and as often as one likes."""

from migration_lab.grading import AlembicError, Graded, NotYet, WrongRows, several

MOST = 100  # orders in a transaction
GIVEN = "0004_typed_by_hand"
BOUGHT_SINCE = """INSERT INTO orders (user_id, status, total)
    SELECT (SELECT min(id) FROM users), 'complete', 9.99 FROM generate_series(1, %s::int)"""


def check(db: Graded) -> None:
    now = dict(db.rows("SELECT id, status FROM orders"))
    left = [order for order, status in now.items() if status == "complete"]
    if left:
        raise WrongRows(
            f"{len(left)} orders still have the status complete, the highest of them order {max(left)}. "
            "Batches must reach every id, up to the highest one."
        )
    typed = {status: order for order, status in now.items() if finished(status)}
    if typed:
        words = " and ".join(f"{status!r} (order {typed[status]})" for status in sorted(typed))
        raise WrongRows(
            f"orders that were typed by hand still say {words}. New code knows completed, and nothing that looks like it."
        )
    others = [row for row in db.before["orders"] if not finished(row["status"]) and now.get(row["id"]) != row["status"]]
    if others:
        order, status = others[0]["id"], others[0]["status"]
        raise WrongRows(
            f"{len(others)} orders that were not finished have another status than before: order {order} said {status!r}, and "
            f"says {now.get(order)!r} now. The WHERE takes too much."
        )
    together = db.written_together("orders")
    if together > MOST:
        raise WrongRows(
            f"one transaction wrote {together} orders, {how(db).rstrip('.')}. Whoever wants to change one of them waits for its "
            f"commit; at most {MOST} were allowed."
        )
    for moment in db.trace.under():
        if moment.did == "wrote" and moment.statement.revision != GIVEN:
            raise NotYet(
                f"a batch locked more than its own rows: {moment}. Whoever wants to change any other order waits too. "
                "An UPDATE locks the rows that it writes, and needs no help."
            )
    done = [row["id"] for row in db.before["orders"] if finished(row["status"])]
    first, slow = done[0], done[-1]
    waited = beside_a_slow_buyer(db, first, slow)
    if waited > 1:
        raise NotYet(
            f"a buyer who wanted to change order {first} waited {waited:.1f} s, while the backfill waited for order {slow} at the other end "
            "of the table. What is written in small parts is let go at the commit; a savepoint ends no transaction."
        )
    skipped = db.value("SELECT count(*) FROM orders WHERE lower(trim(status)) = 'complete'")
    if skipped:
        raise NotYet(
            f"a buyer kept order {slow} for some seconds; the backfill passed it by, ended with exit status 0, and {skipped} order still "
            "says complete. Whoever skips what is locked has to come back for it, until nothing is left."
        )
    top = db.value("SELECT last_value FROM orders_id_seq")
    run_again(db, 2 * MOST - top % MOST)  # the highest id ends a hundred
    run_again(db, 1)  # and then it begins one
    db.session.execute("DELETE FROM orders WHERE id > %s", [max(order["id"] for order in db.before["orders"])])


def finished(status: str) -> bool:
    """Whether a status says complete, as people type it."""
    return status.strip(" ").lower() == "complete"


def run_again(db: Graded, since: int) -> None:
    db.session.execute(BOUGHT_SINCE, [since])
    again = written_again(db) - since
    if again > 0:
        raise NotYet(
            f"run once more, as after a break, it wrote {again} orders that were done already. "
            "The WHERE should find only what is left to do."
        )
    left = [order for (order,) in db.rows("SELECT id FROM orders WHERE status = 'complete' ORDER BY id")]
    if left:
        those = f"the last of them, order {left[0]}" if len(left) == 1 else f"{len(left)} of them, as order {left[0]}"
        raise NotYet(
            f"{since} orders were finished since, and the next run left {those}: where the ids end, the table knows, SELECT max(id), "
            "each time that it is asked; and the last batch takes that id too, whatever it is (range leaves its end out)."
        )


def how(db: Graded) -> str:
    for statement in db.trace.statements:
        if statement.written > MOST:
            more = several(statement.sql)
            return f"by statements of one string. {more}" if more else "by one statement"
    return "in batches that were let go together: a loop is not enough"


def beside_a_slow_buyer(db: Graded, first: int, slow: int) -> float:
    """Fill once more while a buyer keeps one of the last orders: the seconds that another waits for one of the first."""
    db.session.execute("UPDATE orders SET status = 'complete' WHERE status = 'completed'")
    db.alembic("stamp", GIVEN)
    buy = "UPDATE orders SET total = total WHERE id = {}"
    try:
        return db.upgrade_beside_writers(buy.format(slow), buy.format(first))[1]
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


PASSED = "every finished order is completed, in transactions that are soon over, and a second run finds nothing to do."
