"""What a report tells of a trace, in words that every form shares: the worst lock first, then what each statement did.

Nothing here depends on how wide a number is: two runs of the same migration differ in their numbers alone.
"""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import groupby

from migration_xray.errors import DEADLOCK
from migration_xray.locks import MODES
from migration_xray.trace import (
    NOTEWORTHY,
    Held,
    Leftover,
    Lock,
    Notice,
    Phase,
    Statement,
    Touched,
    Trace,
    Transaction,
    Waited,
    in_words,
    shape,
    work,
    worst_first,
)
from migration_xray.words import bare, listed, megabytes, milliseconds, shortened

SIGNS = {"reads and writes": "■■■", "writes": "■■", "other schema changes": "■"}
WAIT_SHOWN = 100  # ms
WAITS_SHOWN = 5  # of one statement, the longest
LONGEST = 300  # letters of a message
VARYING = re.compile(r'"[^"]*"|\d+')  # in messages that are alike
NO_LOCK = "55P03"
MANY = 3  # statements of one shape


def title(trace: Trace, told: list[Transaction]) -> str:
    words = f"alembic {trace.command}"
    if trace.server is None:
        return f"{words}: it opened no database, so there is nothing to see" + (
            "" if trace.ok else f" ({_first_line(trace)})"
        )
    words += f", seen on PostgreSQL {trace.server}"
    if not trace.ok:
        words += f". It failed: {_first_line(trace)}"
    elif not told:
        words += ": no statement but Alembic's own"
    return words + (f". {trace.unseen}" if trace.unseen else "")


def _first_line(trace: Trace) -> str:
    return (trace.error or "").splitlines()[0].removeprefix("FAILED: ")


def heading(transaction: Transaction, trace: Trace) -> str:
    kind = "Outside of a transaction" if transaction.autocommit else "Transaction"
    if len({one.database for one in trace.transactions}) > 1:
        kind += f" in {transaction.database}"
    whose = ", ".join(transaction.revisions) or "env.py"
    outcome = {"lost": "ended with its session", "open": "left open"}.get(transaction.outcome, transaction.outcome)
    return f"{kind}: {whose}, {outcome} after {milliseconds(transaction.ms)}"


def sentence(held: Held, waited: Waited | None) -> str:
    words = f"{held.mode} on {bare(held.relation)}, held for {milliseconds(held.ms)}: blocks {held.blocks}"
    if waited and waited.ms >= WAIT_SHOWN:
        words += f"; {_sessions(waited)}, up to {milliseconds(waited.ms)}"
    return words


def other_waits(transaction: Transaction) -> list[str]:
    """Who waited for rows, or behind a lock that the transaction never got."""
    told = {held.relation for held in noteworthy(transaction)}
    others = [one for one in transaction.waited if one.relation not in told and one.ms >= WAIT_SHOWN]
    others.sort(key=lambda one: one.relation or "")
    return [f"… {_sessions(one)} for {bare(one.relation or 'rows')}, up to {milliseconds(one.ms)}" for one in others]


def _sessions(waited: Waited) -> str:
    sessions = "1 session" if waited.sessions == 1 else f"{waited.sessions} sessions"
    if waited.own == waited.sessions:
        return f"{sessions} of the migration itself waited"
    return f"{sessions} waited" + (f" ({waited.own} of them the migration's own)" if waited.own else "")


def verdicts(statement: Statement, locks: list[Lock], times: int) -> list[str]:
    """What a statement did, each with a sign and in words."""
    told = [f"⋮ {times:,} such statements, with other numbers; together:"] if times > 1 else []
    if statement.rewrote:
        told.append(f"⟳ rewrote {listed(map(bare, statement.rewrote))}")
    if statement.scanned:
        told.append(f"▤ scanned {listed(map(bare, statement.scanned))} to verify")
    if statement.built:
        told.append(f"▦ built {listed(map(bare, statement.built))}")
    if rolled_back := [name for name in statement.unbuilt if name not in statement.left_invalid]:
        told.append(f"▦ did not finish building {listed(map(bare, rolled_back))}; nothing of it is left")
    if statement.left_invalid:
        told.append(f"▦ did not finish building {listed(map(bare, statement.left_invalid))}, and left it INVALID")
    told += [f"✓ {said}" for said in statement.says if "sufficient to prove" in said or "implied by" in said]
    for mode in dict.fromkeys(lock.mode for lock in locks):
        told.append(f"▣ took {mode} on {listed(map(bare, [lock.relation for lock in locks if lock.mode == mode]))}")
    told += meanwhile(statement)
    if statement.unseen and statement.wal_bytes and not statement.error:
        told.append(
            "▣ ended its transaction itself: other locks of it may not have been seen"
            if statement.locks
            else "▣ was over before its locks could be seen"
        )
    told += waits(statement)
    told += [f"… {phase.name}: {milliseconds(phase.ms)}" for phase in statement.phases if _is_wait(phase)]
    told += notices(statement)
    if statement.error:
        told.append(f"✘ failed: {statement.error.message}")
        if statement.error.sqlstate == DEADLOCK and statement.error.detail:
            told += [f"└ {line}" for line in statement.error.detail.splitlines()]
        if statement.error.sqlstate == NO_LOCK and not statement.awaited:
            told.append("… it gave up before x-ray could see behind whom it waited")
    return told


def notices(statement: Statement) -> list[str]:
    """What the server said to everybody; of many messages that differ in names and numbers alone, the first ones."""
    told = []
    by_shape: dict[tuple[str, str], list[Notice]] = {}
    for notice in statement.notices:
        by_shape.setdefault((notice.severity, VARYING.sub("", notice.message)), []).append(notice)
    for alike in by_shape.values():
        shown = alike if len(alike) <= MANY else alike[:1]
        for notice in shown:
            times = f" ({notice.times:,} times)" if notice.times > 1 and len(shown) == len(alike) else ""
            told.append(f"◇ {notice.severity}: {shortened(notice.message, LONGEST)}{times}")
            lines = (notice.detail or "").splitlines()
            told += [f"└ {line}" for line in lines[:MANY]]
            told += [f"└ and {len(lines) - MANY:,} more"] if len(lines) > MANY else []
        if rest := sum(notice.times for notice in alike) - 1 if len(shown) < len(alike) else 0:
            told.append(f"◇ and {rest:,} more like it")
    return told


def leftover(one: Leftover) -> str:
    """What stands without being in force, why that matters, and what mends it."""
    since = ", and was before this command" if one.met else ""
    on = f"{bare(one.name)} on {bare(one.relation)}"
    if one.kind == "constraint":
        return f"○ constraint {on} is NOT VALID{since}: nothing has checked the rows from before it. To check them: {one.repair}"
    return f"○ index {on} is INVALID{since}: every write maintains it, and no query uses it. To repair it: {one.repair}"


def waits(statement: Statement) -> list[str]:
    """How long a statement waited for locks, and for each long wait what it was for and behind whom, the longest first."""
    if statement.lock_wait_ms < WAIT_SHOWN:
        return []
    is_own = bool(statement.awaited) and all(one.on_itself for one in statement.awaited)
    whose = "of another session of its own migration" if is_own else "of others"
    told = [f"… waited for locks {whose}: {milliseconds(statement.lock_wait_ms)}"]
    long = sorted((one for one in statement.awaited if one.ms >= WAIT_SHOWN), key=lambda one: -one.ms)
    for one in long[:WAITS_SHOWN]:
        told += [f"└ for {one.what}, {milliseconds(one.ms)}, behind {blocker}" for blocker in one.blockers]
    if len(long) > WAITS_SHOWN:
        told.append(f"└ and {len(long) - WAITS_SHOWN:,} shorter waits")
    return told


def meanwhile(statement: Statement) -> list[str]:
    """What a statement did while a lock kept others from reading or writing, where nothing else says so.

    A statement's own lock is told with what it rewrote, scanned or built, so here only one that was held on the table before.
    Where there is no row, nobody waited for it.
    """
    strong = [lock for lock in statement.under if "writes" in MODES[lock.mode].blocks]
    wrote = {one.relation for one in statement.touched if one.written}
    read = {one.relation for one in statement.touched if one.read}
    told = []
    for did, what, rows in work(statement):
        if not rows or did == "read" and what in wrote:
            continue
        locks = strong
        if did not in ("wrote", "read"):
            table = read if did == "built" else {what}
            locks = [lock for lock in strong if lock.relation in table and lock not in statement.locks]
        if locks:
            worst = min(locks, key=lambda lock: (-MODES[lock.mode].rank, lock.relation != what, lock.relation))
            held = f"{worst.mode} on {bare(worst.relation)}"
            told.append(f"▲ {in_words(did, what, rows)} while {held} blocked {MODES[worst.mode].blocks}")
    return told


def _is_wait(phase: Phase) -> bool:
    return phase.name.startswith("waiting for") and phase.ms >= WAIT_SHOWN


def figures(statement: Statement) -> str:
    rows = rows_of(statement)
    counted = [] if rows is None else [f"{rows:,} rows"]
    return ", ".join([milliseconds(statement.ms), *counted, f"{megabytes(statement.wal_bytes)} of WAL"])


def rows_of(statement: Statement) -> int | None:
    """How many rows the driver counted; of a DO block, of which it counts none, how many were written."""
    return statement.rows if statement.rows is not None else statement.written or None


LEFT = "Not in force"


def worth_telling(trace: Trace) -> list[Transaction]:
    """Transactions in which something but Alembic's bookkeeping happened, or was lost; batches in a row are one."""
    worth = [one for one in trace.transactions if shown(one) or noteworthy(one)]
    runs = (list(run) for _, run in groupby(worth, key=lambda one: _batch(one) or id(one)))
    return [one for run in runs for one in ([_as_one(run)] if len(run) >= MANY else run)]


def _batch(transaction: Transaction) -> tuple[str, tuple[str, ...], str] | None:
    """What the batches of a backfill have in common: each is one statement, outside of a transaction."""
    statements = [statement for statement in transaction.statements if not statement.own]
    if not transaction.autocommit or len(statements) != 1 or statements[0].error:
        return None
    return transaction.outcome, tuple(transaction.revisions), shape(statements[0].sql)


def _as_one(run: list[Transaction]) -> Transaction:
    """Each lock and each wait is the longest of its kind."""
    locks = sorted((one for each in run for one in each.held), key=lambda one: one.ms)
    waits = sorted((one for each in run for one in each.waited), key=lambda one: one.ms)
    held, waited = {(one.relation, one.mode): one for one in locks}, {one.relation: one for one in waits}
    return replace(
        run[0],
        ms=sum(each.ms for each in run),
        statements=[statement for each in run for statement in each.statements],
        held=worst_first(list(held.values())),
        waited=list(waited.values()),
    )


def shown(transaction: Transaction) -> list[tuple[Statement, list[Lock], int]]:
    """The statements to tell of, each with the locks that are stronger than what its transaction had before.

    Many of one shape in a row are told as one, with how many they were.
    """
    ranks: dict[str, int] = {}
    told = []
    for statement in transaction.statements:
        raised = []
        for lock in statement.locks:  # the strongest first
            rank = MODES[lock.mode].rank
            if rank >= NOTEWORTHY and rank > ranks.get(lock.relation, 0):
                ranks[lock.relation] = rank
                raised.append(lock)
        if not statement.own or statement.error or statement.lock_wait_ms >= WAIT_SHOWN:
            told.append((statement, raised))
    runs = (list(run) for _, run in groupby(told, key=lambda one: (shape(one[0].sql), one[0].error is None)))
    return [one for run in runs for one in ([_together(run)] if len(run) >= MANY else [(*each, 1) for each in run])]


def _together(run: list[tuple[Statement, list[Lock]]]) -> tuple[Statement, list[Lock], int]:
    statements = [statement for statement, _ in run]

    def every(name: str) -> list[str]:
        return sorted({told for statement in statements for told in getattr(statement, name)})

    locks = {lock.relation: lock for lock in sorted(_under(statements), key=lambda lock: MODES[lock.mode].rank)}
    rows = [statement.rows for statement in statements if statement.rows is not None]
    whole = replace(
        statements[0],
        ms=sum(statement.ms for statement in statements),
        rows=sum(rows) if rows else None,
        written=sum(statement.written for statement in statements),
        wal_bytes=sum(statement.wal_bytes for statement in statements),
        touched=_touched(statements),
        locks=[lock for statement in statements for lock in statement.locks],
        under=list(locks.values()),
        lock_wait_ms=max(statement.lock_wait_ms for statement in statements),
        awaited=[one for statement in statements for one in statement.awaited],
        unseen=all(statement.unseen for statement in statements),
        phases=[phase for statement in statements for phase in statement.phases],
        rewrote=every("rewrote"),
        scanned=every("scanned"),
        built=every("built"),
        unbuilt=every("unbuilt"),
        left_invalid=every("left_invalid"),
        says=every("says"),
        notices=_notices(statements),
    )
    return whole, [lock for _, locks in run for lock in locks], len(run)


def _notices(statements: list[Statement]) -> list[Notice]:
    """The same message of several statements is one, which came more often."""
    times: dict[Notice, int] = {}
    for notice in (notice for statement in statements for notice in statement.notices):
        one = replace(notice, times=1)
        times[one] = times.get(one, 0) + notice.times
    return [replace(notice, times=count) for notice, count in times.items()]


def _under(statements: list[Statement]) -> list[Lock]:
    return [lock for statement in statements for lock in statement.under]


def _touched(statements: list[Statement]) -> list[Touched]:
    sums: dict[str, list[int]] = {}
    for one in (touched for statement in statements for touched in statement.touched):
        before = sums.get(one.relation, [0, 0, 0, 0])
        now = [one.read, one.inserted, one.updated, one.deleted]
        sums[one.relation] = [sum(both) for both in zip(before, now, strict=True)]
    return [Touched(relation, *counts) for relation, counts in sorted(sums.items())]


def noteworthy(transaction: Transaction) -> list[Held]:
    return [held for held in transaction.held if held.rank >= NOTEWORTHY and bare(held.relation) != "alembic_version"]


def wait_for(transaction: Transaction, held: Held) -> Waited | None:
    return next((waited for waited in transaction.waited if waited.relation == held.relation), None)
