"""Second tries: a migration that a lock timeout has ended must get through when it is run again.

On one more fresh database, somebody's transaction is in the way of each statement that changes something: once, one statement
after the other, but of the first two batches of a backfill only. Each time the server ends the statement, and the next try
begins where Alembic lets it begin. In the end the schema and the rows must be those of an upgrade that nobody was in the way of.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

from psycopg import sql

from migration_lab.course import Exercise
from migration_lab.learner import versions_seen
from migration_lab.pictures import snapshot
from migration_lab.runner import AN_INDEXS, Hindrance, Met, Stopped
from migration_xray.errors import AlembicError
from migration_xray.locks import MODES
from migration_xray.trace import Statement, Trace

from .explanations import listing, quoted, short
from .graded import Graded, NotYet
from .probes import diff
from .scratch import scratch
from .unseen import prepare

MOST_TRIES = 30
# Outside of a transaction a statement may be over before its locks are seen.
DDL = re.compile(r"\s*(ALTER|CREATE|DROP|REINDEX|TRUNCATE|LOCK)\b", re.IGNORECASE)
STRONG = MODES["ShareLock"].rank  # a writer is in the way of this one and of the stronger ones

OURS = "nspname !~ '^pg_' AND nspname <> 'information_schema' AND relname <> 'alembic_version'"
RELATIONS = f"""
    SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'p', 'v') AND {OURS}"""

# Two upgrades may give different values to what comes from a sequence, of which a try that is rolled back uses up some, to
# keys that refer to those, and to UUIDs.
COLUMNS = f"""
    SELECT c.oid::regclass::text, attname, typname IN ('date', 'timestamp', 'timestamptz'), (
        SELECT confrelid::regclass::text FROM pg_constraint WHERE contype = 'f' AND conrelid = c.oid AND attnum = ANY (conkey)
        LIMIT 1)
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace JOIN pg_attribute a ON attrelid = c.oid
        JOIN pg_type t ON t.oid = atttypid
    WHERE relkind = 'r' AND {OURS} AND attnum > 0 AND NOT attisdropped AND typname <> 'uuid' AND attidentity = ''
        AND NOT EXISTS (SELECT FROM pg_attrdef WHERE adrelid = c.oid AND adnum = attnum
                        AND pg_get_expr(adbin, adrelid) LIKE 'nextval(%')
    ORDER BY 1, attnum"""
VALUE = sql.SQL("sum(hashtextextended({}::text, 0))")
# Moments of the upgrade itself are all alike.
MOMENT = sql.SQL("sum(hashtextextended(CASE WHEN {0} < now() - interval '1 day' THEN {0}::text END, 0))")


@dataclass
class Reached:
    """Where an upgrade has led: Alembic's revisions, and for each table its number of rows and a digest of each column."""

    revisions: list[str]
    rows: dict[str, dict[str, int]]


def reached(graded: Graded) -> Reached:
    """Where the graded database is now."""
    columns: dict[str, dict[str, sql.Composed]] = {}
    for table, column, is_moment, refers_to in graded.rows(COLUMNS):
        digests = columns.setdefault(table, {"": sql.SQL("count(*)").format()})
        if refers_to is None or refers_to in graded.start.tables:
            digests[column] = (MOMENT if is_moment else VALUE).format(sql.Identifier(column))
    rows = {}
    for table, digests in columns.items():
        query = sql.SQL("SELECT {} FROM {}").format(sql.SQL(", ").join(digests.values()), sql.SQL(table))
        rows[table] = dict(zip(digests, graded.rows(query)[0], strict=True))
    return Reached(versions_seen(graded.session), rows)


def second_try(exercise: Exercise, first: Graded, goal: Reached, stem: str) -> None:
    """Run the upgrade of ``first`` again on a fresh database where locks time out. Raises NotYet where it does not get through.

    ``goal`` is where the first upgrade has led, and ``stem`` begins the name of the database.
    """
    if not can_get_stuck(first.trace):
        return
    with scratch(first.running, exercise, stem) as database, first.running.connect(database) as session:
        graded = Graded(first.running, database, first.project, session, first.runner, first.say)
        prepare(graded, exercise)
        hindrance = Hindrance([oid for (oid,) in graded.rows(RELATIONS)], AN_INDEXS)
        _get_through(graded, hindrance)
        if hindrance.met:
            _must_be_as_without(first, goal, graded, hindrance.met)
            _must_not_wait_for_ever(first.trace, hindrance.met)


def can_get_stuck(trace: Trace) -> bool:
    """Whether a lock timeout is likely, or leaves something behind: strong locks, or a revision that commits in its middle."""
    transactions = Counter(revision for one in trace.transactions for revision in one.revisions)
    return max(transactions.values(), default=0) > 1 or any(map(asks_for_strong_locks, trace.statements))


def asks_for_strong_locks(statement: Statement) -> bool:
    """Whether a statement asks for a lock that a writer is in the way of, or builds beside writers."""
    return has_strong_locks(statement) or statement.unseen or "CONCURRENTLY" in statement.sql.upper()


def has_strong_locks(statement: Statement) -> bool:
    return any(MODES[lock.mode].rank >= STRONG for lock in statement.locks)


def _get_through(graded: Graded, hindrance: Hindrance) -> None:
    """Try again and again, until a try is through or fails although nothing was in its way."""
    for number in range(MOST_TRIES):
        met = len(hindrance.met)
        try:
            graded.alembic("upgrade", "head", hindrance=hindrance if number < MOST_TRIES - 1 else None)
            return
        except AlembicError as error:
            if not hindrance.met:
                raise  # nothing was in its way, and the first upgrade ran
            if len(hindrance.met) == met:
                raise NotYet(_stuck(error, hindrance.met)) from None
        except Stopped as end:
            raise NotYet(
                f"while somebody's transaction was in the way of each strong lock once, {end}. A lock that can't be had should "
                "end the try, and the next try should get through."
            ) from None


def _stuck(error: AlembicError, met: list[Met]) -> str:
    failed = [one for one in error.trace.statements if one.error] if error.trace else []
    at = f" at {_named(failed[-1])}" if failed else ""
    return (
        f"{_after_timeout(met)} The next try gets stuck{at}:\n{quoted(error)}\n"
        "  A try begins again at the top of the revision that was not done, and finds what was committed before the timeout. "
        "Let each step bear a second run, or put into one transaction what belongs together."
    )


def _must_be_as_without(first: Graded, goal: Reached, graded: Graded, met: list[Met]) -> None:
    now = reached(graded)
    if now.revisions != goal.revisions:
        raise NotYet(
            f"{_after_timeout(met)} Then `alembic upgrade head` ended with exit status 0, and the database is at "
            f"{', '.join(now.revisions) or 'no revision'}, not at {', '.join(goal.revisions)}. An error that nobody sees is "
            "taken for success: let it out."
        )
    if left := diff(first.schema, snapshot(graded.session)):
        raise NotYet(
            f"{_after_timeout(met)} The next try ran, and leads elsewhere than an upgrade that nobody was in the way of:"
            f"{listing(left)}\n  What a try leaves behind, the next one has to find and put right."
        )
    if other := _other_rows(goal, now):
        raise NotYet(
            f"{_after_timeout(met)} The next try ran, and leads to other rows than an upgrade that nobody was in the way of:"
            f"{listing(other)}\n  What a try has written and committed, the next one must not write again."
        )


def _must_not_wait_for_ever(trace: Trace, met: list[Met]) -> None:
    strong = {one.sql for one in trace.statements if has_strong_locks(one) or one.unseen and DDL.match(one.sql)}
    if endless := [one for one in met if one.endless and one.sql in strong]:
        raise NotYet(
            f"somebody's open transaction was in the way of {_named(endless[0])}, and lock_timeout was 0: nothing would have ended "
            "that wait, and everybody who came later would have stood in a queue behind it. Only what lets others work while it "
            "waits, as CONCURRENTLY does, may wait for ever. Set lock_timeout again before the next statement."
        )


def _other_rows(goal: Reached, now: Reached) -> list[str]:
    found = []
    for table, wanted in goal.rows.items():
        digests = now.rows[table]
        if digests[""] != wanted[""]:
            found.append(f"{table} has {digests['']:,} rows, not {wanted['']:,}")
        else:
            found += [f"{table}.{column} has other values" for column in wanted if digests[column] != wanted[column]]
    return found


def _after_timeout(met: list[Met]) -> str:
    """Which statement somebody was in the way of last, and what became of it."""
    timed_out = [one for one in met if one.timed_out]
    if timed_out:
        return (
            f"somebody's open transaction was in the way of {_named(timed_out[-1])}, and the server ended the statement: a lock "
            "timeout (55P03)."
        )
    return f"somebody's open transaction was in the way of {_named(met[-1])}."


def _named(statement: Statement | Met) -> str:
    return f"`{short(statement.sql)}` ({statement.where or 'env.py'})"
