"""orders in cents and with a currency, in two releases: one page on the state, the data, the stalls and the way back."""

from __future__ import annotations

import re
from contextlib import suppress
from decimal import Decimal

import psycopg

from migration_lab.grading import (
    OTHER_ROWS,
    AlembicError,
    Graded,
    Moment,
    NotYet,
    Trace,
    Traffic,
    WRITER_STAYS,
    diff,
    snapshot,
)

STATE, DATA, STALLS, BACK = "State, on Thursday", "Data", "Stalls", "The way back"
GIVEN = "0004_busy_day"
NEW = {"currency", "total_cents"}
ORDERS = "public.orders"
OUT_OF_RANGE, GAVE_UP, DEADLOCK, IS_THERE = "22003", "55P03", "40P01", "42P07"
A_BLOCK = re.compile(r"\s*(DO|CALL)\b", re.IGNORECASE)
QUEUE = 1_200  # ms that a reader may wait: env.py's 300, on a busy machine
MOST = 10_000  # orders in a transaction
LIST = """
    SELECT id, created_at, total_cents, currency FROM orders
    WHERE user_id = {} AND status = 'pending' ORDER BY created_at DESC LIMIT 20"""
# Twenty users with a thousand orders each, of every status.
MANY = """
    INSERT INTO orders (user_id, status, total_cents, created_at)
    SELECT (ARRAY{})[1 + n % 20], (ARRAY['pending', 'processing', 'complete', 'cancelled'])[1 + n / 20 % 4], n,
           timestamp '2026-03-03' + n * interval '1 minute' FROM generate_series(1, 20000) AS n"""

ENTANGLED = (
    " Where a transaction has written rows and then wants the whole table, it waits for writers who wait for its rows:"
    " fill in transactions of their own."
)
HALF_BUILT = (
    " An index of orders is INVALID, which a try that gave up has left. Building one beside writers must be allowed to wait:"
    " no lock_timeout for it."
)
INVALID = "SELECT count(*) FROM pg_index WHERE indrelid = 'orders'::regclass AND NOT indisvalid"


class Page:
    """The page of feedback: for each part what was found, and whether that is as it should be."""

    def __init__(self):
        self.parts: dict[str, list[tuple[bool, str]]] = {part: [] for part in (STATE, DATA, STALLS, BACK)}

    def add(self, part: str, holds: bool, found: str) -> None:
        self.parts[part].append((holds, found))

    def holds(self, part: str) -> bool:
        return all(holds for holds, _ in self.parts[part])

    def __str__(self) -> str:
        good = sum(bool(found) and self.holds(part) for part, found in self.parts.items())
        lines = [f"{good} of {len(self.parts)} parts are as they should be."]
        for part, found in self.parts.items():
            lines += ["", f"  {part}", *(f"    {'✔' if holds else '✘'} {text}" for holds, text in found)]
            if not found:
                lines.append("    – not looked at: what is marked ✘ comes first")
        return "\n".join(lines)


def check(db: Graded) -> str:
    tuesday, thursday = releases(db)
    page = Page()
    goal(db, page)
    if not NEW.issubset(db.schema.tables["orders"].columns):
        raise NotYet(str(page))
    try:
        back_to_monday(db, page)
        traces, written = first_release(db, page, tuesday)
        both_releases(db, page, written)
        traces.append(second_release(db, page))
        stalls(traces, page)
        way_back(db, page, tuesday[-1])
    except AlembicError as error:
        part = BACK if "downgrade" in error.trace.command else STALLS
        why = why_it_failed(db, error)
        page.add(
            part,
            False,
            f"`alembic {error.trace.command}` failed, and nothing further was tried: {error.sentence}.{why}",
        )
    if not all(map(page.holds, page.parts)):
        raise NotYet(str(page))
    return str(page)


def why_it_failed(db: Graded, error: AlembicError) -> str:
    if error.sqlstate in (GAVE_UP, DEADLOCK):
        return ENTANGLED
    if error.sqlstate == IS_THERE and db.value(INVALID):
        return HALF_BUILT
    meaning = db.meaning(error)
    return f" {meaning}" if meaning else ""


def releases(db: Graded) -> tuple[list[str], str]:
    """The revisions for Tuesday, oldest first, and the one for Thursday."""
    added = [script.revision for script in reversed(db.revisions())]
    added = added[added.index(GIVEN) + 1 :] if GIVEN in added else []
    if len(added) < 2:
        raise NotYet(
            f"after {GIVEN} there is {len(added) or 'no'} revision. Two releases need two at the least: old code runs from "
            "Tuesday to Thursday, so what takes its column away is a revision of its own, the last one."
        )
    return added[:-1], added[-1]


# --- State: what stands there on Thursday -----------------------------------------------------------------------------


def goal(db: Graded, page: Page) -> None:
    columns = db.schema.tables["orders"].columns
    say = lambda holds, found: page.add(STATE, holds, found)  # noqa: E731
    for name in sorted(NEW):
        if name not in columns:
            say(False, f"orders has no column {name}.")
        elif columns[name].nullable:
            say(False, f"orders.{name} takes NULL, and the invoice service does not.")
    if "total" in columns:
        say(False, "orders still has total: two numbers, of which one will be wrong some day.")
    if left := sorted(set(db.schema.functions) - set(db.start.functions)):
        say(False, f"{left[0]} is left of what kept two columns in step.")
    if not NEW.issubset(columns):
        return
    currency(db, say)
    cents(db, say)
    for name, constraint in db.schema.tables["orders"].constraints.items():
        if not constraint.validated:
            say(
                False,
                f"{name} is NOT VALID (pg_constraint.convalidated is false): it says nothing of the orders that were there before.",
            )
    support_list(db, say)


def currency(db: Graded, say) -> None:
    insert = f"INSERT INTO orders (user_id, total_cents{{}}) VALUES ({user(db)}, 1999{{}}) RETURNING currency"
    if refused := db.refusal(insert.format("", "")):
        at_fault = refused.diag.column_name or refused.diag.constraint_name
        whose = "an order for which nobody says a currency" if at_fault else "an order of new code"
        say(False, f"{whose} is refused: {refused.diag.message_primary}.")
        return
    given = db.value(insert.format("", ""))
    if given != "EUR":
        say(False, f"an order for which nobody says a currency is in {given!r}, not in 'EUR'.")
    for abroad in ("USD", "GBP", "XAU"):
        if refused := db.refusal(insert.format(", currency", f", '{abroad}'")):
            say(False, f"an order in {abroad!r} is refused: {refused.diag.message_primary}.")
            break
    taken = [
        word
        for word in ("euro", "eur", "EU", "", "EURO", "12A", "$$$")
        if not db.refusal(insert.format(", currency", f", '{word}'"))
    ]
    if taken:
        say(
            False,
            f"a currency of {taken[0]!r} was taken: three capital letters, and nothing else, is what everybody can read.",
        )
    else:
        say(True, "currency: 'EUR' where nobody says it, 'USD' where they do, and 'euro' is refused.")


def cents(db: Graded, say) -> None:
    most = 9_999_999_999  # the cents of the largest total
    refused = db.refusal("INSERT INTO orders (user_id, total_cents) VALUES (%s, %s)", user(db), most)
    if refused and refused.sqlstate == OUT_OF_RANGE:
        say(False, f"an order of {most:,} cents, which total could hold, is refused: {refused.diag.message_primary}.")
    half = f"INSERT INTO orders (user_id, total_cents) VALUES ({user(db)}, 1999.5) RETURNING total_cents"
    if not db.refusal(half) and (kept := db.value(half)) % 1:
        say(
            False,
            f"total_cents keeps {kept}: the invoice service wants whole cents, and a type without decimals has no others.",
        )
    free = f"INSERT INTO orders (user_id) VALUES ({user(db)}) RETURNING total_cents"
    if not db.refusal(free):
        say(
            False,
            f"an order for which nobody says an amount is taken, for {db.value(free)} cents. total never let that in.",
        )
    totals = totals_before(db)
    found = dict(db.rows("SELECT id, total_cents FROM orders"))
    other = [order for order, total in totals.items() if found.get(order) != total * 100]
    if other:
        order = other[0]
        say(
            False,
            f"{len(other):,} orders have other cents than their total had: order {order} had a total of {totals[order]}, and has "
            f"{found.get(order)} cents. {OTHER_ROWS}",
        )
    elif not refused:
        say(True, f"total_cents: right in all of {len(found):,} orders, and wide enough for the largest total.")


def totals_before(db: Graded) -> dict[int, Decimal]:
    """The total that each order had before the upgrade, by the order's id."""
    return {order["id"]: order["total"] for order in db.before["orders"]}


def order_at(db: Graded, place: int) -> int:
    """The id of one of the orders that were there before the upgrade, by its place among them."""
    return db.before["orders"][place]["id"]


def user(db: Graded) -> int:
    """The id of some user."""
    return db.before["users"][-1]["id"]


def support_list(db: Graded, say) -> None:
    """The plan of support's list, where users have many orders."""
    users = [row["id"] for row in db.before["users"][-20:]]
    with db.session.transaction(force_rollback=True):
        try:
            db.session.execute(MANY.format(users))
        except psycopg.Error:
            return  # told already
        db.session.execute("ANALYZE orders")
        nodes = db.plan(LIST.format(users[6]))
    kinds = [node["Node Type"] for node in nodes]
    sorts = next((kind for kind in kinds if "Sort" in kind), None)
    scan = next(node for node in nodes if "Scan" in node["Node Type"])
    way = scan.get("Index Name", "the whole table")
    if sorts:
        say(
            False,
            f"support's list reads {way}, and then comes a {sorts}: it reads more orders than the twenty that it shows.",
        )
    elif "status" in scan.get("Filter", "") or "user_id" in scan.get("Filter", ""):
        say(
            False,
            f"support's list reads {way} and throws orders away (Filter in the plan). Put first what it compares with =.",
        )
    else:
        say(True, f"support's list: an {scan['Node Type']} of {way}, in its order.")
    for name, index in db.schema.tables["orders"].indexes.items():
        if not index.valid:
            say(
                False, f"{name} is INVALID (pg_index.indisvalid is false): no query uses it, and writes may pay for it."
            )


def back_to_monday(db: Graded, page: Page) -> None:
    db.alembic("downgrade", GIVEN)
    if "total" not in snapshot(db.session).tables["orders"].columns:
        page.add(
            BACK, False, "`alembic downgrade` ran, and orders has no total after it: old code can't run on Friday."
        )
        raise NotYet(str(page))
    if left := db.not_back_at(GIVEN):
        page.add(BACK, False, f"`alembic downgrade {GIVEN}` ran, and does not lead back to it: {left[0]}.")
        raise NotYet(str(page))
    found = dict(db.rows("SELECT id, total FROM orders"))
    lost = [order for order, total in totals_before(db).items() if found.get(order) != total]
    if lost:
        was, now = totals_before(db)[lost[0]], found.get(lost[0])
        page.add(
            BACK,
            False,
            f"the way back was open, but {len(lost):,} orders have lost their total on it: that of order {lost[0]} was {was}, "
            f"and is {'NULL' if now is None else now} now. {OTHER_ROWS}",
        )
    elif changed := db.lost_on_the_way_back():
        page.add(BACK, False, f"the way back was open, but after it {changed[0]}.")


# --- Data and stalls: Tuesday to Thursday, with the application at work -----------------------------------------------


def first_release(db: Graded, page: Page, tuesday: list[str]) -> tuple[list[Trace], dict[int, int]]:
    """Old code works while Tuesday's revisions run; after each, it takes an order and changes one.

    Returns what x-ray saw, and the cents that orders must have by what old code wrote.
    """
    traces, written, refused = [], {}, {}
    began = db.now()
    with Traffic(db.running.database_url(db.database), "orders", apps=["old"], project=db.project) as traffic:
        for number, revision in enumerate(tuesday):
            trace = beside_a_buyer(db, revision)
            traces.append(trace)
            traffic.traces.append(trace)
            price = 1000 + number
            for statement in (
                f"INSERT INTO orders (user_id, total) VALUES ({user(db)}, {price} / 100.0) RETURNING id",
                f"UPDATE orders SET total = {price} / 100.0 WHERE id = {order_at(db, 10 + number)} RETURNING id",
            ):
                try:
                    written[db.session.execute(statement).fetchone()[0]] = price
                except psycopg.Error as error:
                    refused.setdefault(revision, error.diag.message_primary)
    together = db.written_together("orders", began)
    if not any(rewrote(trace) for trace in traces):
        written_at_once(page, together)
    for revision, why in refused.items():
        page.add(DATA, False, f"old code could not write after {revision}: {why}.")
    felt(page, "Tuesday", "old code", traffic)
    return traces, written


def rewrote(trace: Trace) -> bool:
    return any(ORDERS in statement.rewrote for statement in trace.statements)


def written_at_once(page: Page, together: int) -> None:
    if together > MOST:
        page.add(
            STALLS,
            False,
            f"{together:,} orders were written in one transaction: who wants one of them waits for the last.",
        )


def most_at_once(trace: Trace) -> int:
    """How many orders a transaction of a migration wrote, while nobody else did; a batch may write one anew that another wrote.

    A block that runs outside of a transaction may have committed in between.
    """
    return max(
        sum(table.written for statement in one.statements for table in statement.touched if table.relation == ORDERS)
        for one in trace.transactions
        if GIVEN not in one.revisions and not (one.autocommit and A_BLOCK.match(one.statements[0].sql))
    )


def beside_a_buyer(db: Graded, revision: str) -> Trace:
    """A buyer takes some seconds over an order, as they do: an index that is built meanwhile has to wait."""
    with db.blocker(f"UPDATE orders SET status = status WHERE id = {order_at(db, 40)}", WRITER_STAYS):
        return db.alembic("upgrade", revision)


def both_releases(db: Graded, page: Page, written: dict[int, int]) -> None:
    """What each of the two has written, the other must read."""
    columns = snapshot(db.session).tables["orders"].columns
    if not {"total", "total_cents"} <= set(columns):
        gone = " and ".join(sorted({"total", "total_cents"} - set(columns)))
        page.add(DATA, False, f"from Tuesday to Thursday orders has no {gone}, which one of the two versions reads.")
        return
    wrong = [
        key for key, price in written.items() if db.value("SELECT total_cents FROM orders WHERE id = %s", key) != price
    ]
    if wrong:
        found = db.rows("SELECT id, total, total_cents FROM orders WHERE id = %s", wrong[0])[0]
        page.add(
            DATA,
            False,
            f"order {found[0]} was written by old code between two of Tuesday's revisions: its total is {found[1]}, "
            f"its cents are {'NULL' if found[2] is None else found[2]}.",
        )
    if fault := new_code_fault(db):
        page.add(DATA, False, f"{fault}.")
        return
    drift = db.value("SELECT count(*) FROM orders WHERE total_cents IS DISTINCT FROM total * 100")
    if drift > len(wrong):
        page.add(DATA, False, f"{drift:,} orders have one amount in total and another one in total_cents.")
    if not page.parts[DATA]:
        page.add(
            DATA,
            True,
            f"old code wrote {len(written)} orders between the revisions, new code two: each reads the other's.",
        )


def new_code_fault(db: Graded) -> str | None:
    """What goes wrong where new code writes and old code reads, if anything does."""
    new = {
        f"INSERT INTO orders (user_id, total_cents, currency) VALUES ({user(db)}, 4242, 'USD') RETURNING total": "takes an order",
        f"UPDATE orders SET total_cents = 4242 WHERE id = {order_at(db, 500)} RETURNING total": "changes one",
    }
    for statement, what in new.items():
        if refused := db.refusal(statement):
            return f"new code can't write beside old code ({what}): {refused.diag.message_primary}"
        if (total := db.value(statement)) is None or total * 100 != 4242:
            return f"new code {what} of 4242 cents, and old code reads a total of {total}"
    return None


def second_release(db: Graded, page: Page) -> Trace:
    """New code works on Thursday, and a report, which reads orders, has its transaction open for a while."""
    report, buyer = "SELECT count(*) FROM orders", f"UPDATE orders SET status = status WHERE id = {order_at(db, 20)}"
    with Traffic(db.running.database_url(db.database), "orders", apps=["new"], project=db.project) as traffic:
        trace, waited = db.upgrade_beside_writers(report, buyer)
        traffic.traces.append(trace)
    patience = max((statement.lock_wait_ms for statement in trace.statements), default=0) / 1000
    if max(waited, patience) > 1:
        who = (
            f"a buyer waited {waited:.1f} s"
            if waited > 1
            else f"Thursday's revision waited {patience:.1f} s for its lock"
        )
        page.add(
            STALLS,
            False,
            f"{who}: a report read orders, Thursday's revision waited for the report, and whoever wrote or read orders meanwhile "
            "stood behind the revision. env.py gives up after 300 ms and tries again, unless a revision says otherwise.",
        )
    felt(page, "Thursday, beside a report that reads orders", "new code", traffic)
    return trace


def felt(page: Page, day: str, who: str, traffic: Traffic) -> None:
    worst = traffic.felt.worst_read_ms
    errors = "; ".join(f"{one.sqlstate} ×{one.times:,} ({one.message})" for one in traffic.felt.refusals)
    if errors:
        page.add(STALLS, False, f"{day}: {who} met errors: {errors}.")
    elif worst > QUEUE:
        page.add(
            STALLS,
            False,
            f"{day}: a reader waited {worst:,.0f} ms, in a queue behind a revision that waited itself. "
            "env.py gives up after 300 ms and tries again, unless a revision says otherwise.",
        )
    else:
        page.add(STALLS, True, f"{day}, as {who} felt it: {str(traffic.felt)[0].lower()}{str(traffic.felt)[1:]}")


def stalls(traces: list[Trace], page: Page) -> None:
    """What x-ray saw of both days: nothing may be done row by row under a lock that stops others."""
    told: set[int] = set()
    for moment in (one for trace in traces for one in trace.under()):
        if id(moment.statement) not in told:  # what it did that is the heaviest comes first
            told.add(id(moment.statement))
            page.add(STALLS, False, stall(moment))
    if page.holds(STALLS):
        held = [one.ms for trace in traces for one in trace.held if one.relation == ORDERS and "reads" in one.blocks]
        longest = f", at the longest for {max(held):,.0f} ms" if held else ""
        page.add(
            STALLS,
            True,
            f"orders was shut to readers in {len(held)} transactions{longest}; nothing was read or written meanwhile.",
        )


def stall(moment: Moment) -> str:
    if moment.did == "built" and moment.relation == ORDERS:
        return f"{moment.what} was built while no order could be written: {moment}."
    if moment.did == "scanned" and moment.what == ORDERS:
        return f"the server read every order to verify it, and {moment.blocks} waited for its end: {moment}."
    return f"{moment}. Let the transaction that takes the lock end before it comes to rows."


# --- The way back -----------------------------------------------------------------------------------------------------


def way_back(db: Graded, page: Page, tuesday: str) -> None:
    """Thursday's release is taken back, old code works again; then all of it, and forward once more."""
    goal = snapshot(db.session)
    # What was bought and changed since Thursday: nobody ever gave it a total.
    with suppress(psycopg.Error):  # refused where a trigger was left: told already
        db.session.execute(f"INSERT INTO orders (user_id, total_cents, currency) VALUES ({user(db)}, 4321, 'USD')")
        db.session.execute("UPDATE orders SET total_cents = 4343 WHERE id = %s", [order_at(db, 600)])
    db.alembic("downgrade", tuesday)
    if refused := db.refusal("INSERT INTO orders (user_id, total) VALUES (%s, 9.99)", user(db)):
        page.add(BACK, False, f"Thursday taken back, old code can't take an order: {refused.diag.message_primary}.")
        return
    row = db.value("UPDATE orders SET total = 77 WHERE id = %s RETURNING total_cents", order_at(db, 30))
    if row != 7700:
        page.add(BACK, False, "Thursday taken back, old code writes a total again, and total_cents does not follow.")
    if not page.parts[BACK] and (fault := new_code_fault(db)):
        page.add(BACK, False, f"Thursday taken back, {fault}.")
    if drift := db.value("SELECT count(*) FROM orders WHERE total_cents IS DISTINCT FROM total * 100"):
        page.add(
            BACK,
            False,
            f"Thursday taken back, {drift:,} orders have one amount in total and another one in total_cents.",
        )
    db.alembic("downgrade", db.start_revision)
    if left := diff(db.start, snapshot(db.session)):
        page.add(BACK, False, f"all taken back, the start is not reached: {left[0]}.")
    db.alembic("upgrade", GIVEN)
    began = db.now()
    trace = db.alembic("upgrade", "head")
    if page.holds(STALLS) and not rewrote(trace):
        # Nobody else writes now. Before, old code may have written some of a batch's orders anew.
        written_at_once(page, max(db.written_together("orders", began), most_at_once(trace)))
    if left := diff(goal, snapshot(db.session)):
        page.add(BACK, False, f"once more forward leads elsewhere: {left[0]}.")
    if not page.parts[BACK]:
        page.add(
            BACK,
            True,
            "Thursday taken back, every order has its total, and old code works; all taken back, and forward: no difference.",
        )


def explain(error: AlembicError) -> str | None:
    if error.sqlstate == "23514":
        return "The proof found orders that break it. Which ones did the fill pass by?"
    return None
