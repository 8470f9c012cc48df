"""How many rows of each table a migration's session reads and writes: PostgreSQL counts them in the session itself.

They are in pg_stat_xact_user_tables, in no other session and in no log. Its functions are called for tables that are known
by oid, so that the query locks nothing for longer than it runs.
https://www.postgresql.org/docs/18/monitoring-stats.html#MONITORING-STATS-FUNCTIONS
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from .lookout import Lookout

FIRST_NORMAL_OID = 16384  # what PostgreSQL itself has is below: src/include/access/transam.h
KINDS = ("table", "materialized view", "foreign table")  # other relations of a statement are indexes, sequences, TOAST

# The session adds its counts to those of the whole server, and counts from 0 again, when it is outside of a transaction and
# has not done so for a second: src/backend/utils/activity/pgstat.c. It is asked to do so after each count.
FLUSH = "pg_catalog.pg_stat_force_next_flush()"
COUNT = f"""SELECT pg_catalog.date_part('epoch', pg_catalog.statement_timestamp()), {FLUSH}::text,
    oid, type, schema, name,
    pg_catalog.pg_stat_get_xact_tuples_returned(oid), pg_catalog.pg_stat_get_xact_tuples_fetched(oid),
    pg_catalog.pg_stat_get_xact_tuples_inserted(oid), pg_catalog.pg_stat_get_xact_tuples_updated(oid),
    pg_catalog.pg_stat_get_xact_tuples_deleted(oid)
    FROM {{}} AS these(oid), pg_catalog.pg_identify_object(1259, oid, 0)"""
OF_THESE = "pg_catalog.unnest('{{{}}}'::pg_catalog.oid[])"
OF_ALL = f"""(SELECT oid FROM pg_catalog.pg_class WHERE relkind IN ('r', 'm', 'f') AND oid >= {FIRST_NORMAL_OID} AND greatest(
    pg_catalog.pg_stat_get_xact_tuples_returned(oid), pg_catalog.pg_stat_get_xact_tuples_fetched(oid),
    pg_catalog.pg_stat_get_xact_tuples_inserted(oid), pg_catalog.pg_stat_get_xact_tuples_updated(oid),
    pg_catalog.pg_stat_get_xact_tuples_deleted(oid)) > 0)"""
# Reads a table, because a session that has nothing to add does not note that it was asked to.
START = f"SELECT {FLUSH} FROM pg_catalog.pg_am LIMIT 1"
SAFELY = 0.9  # seconds within which the session does not add its counts by itself; it waits for one
SURELY = 0.1  # seconds after which it is asked before the next statement


class Rows(NamedTuple):
    """How many rows of a table were read, inserted, updated and deleted. ``name`` is qualified."""

    name: str
    read: int
    inserted: int
    updated: int
    deleted: int

    @property
    def written(self) -> int:
        return self.inserted + self.updated + self.deleted

    def since(self, before: Rows | None) -> Rows:
        """What has come since then. TRUNCATE takes away what was counted before it."""
        if before is None:
            return self
        more = [max(0, now - then) for now, then in zip(self[1:], before[1:], strict=True)]
        return Rows(self.name, *more)


Counted = dict[int, Rows]


class Counter:
    """What is counted in one session; ``ask`` sends it a query and gives the rows of the answer.

    ``asked`` is when the session ran the last query of ours, by the server's clock in seconds.
    """

    def __init__(self, ask: Callable[[str], list[Any]], lookout: Lookout):
        self.ask, self.lookout = ask, lookout
        self.asked: float | None = None
        self.before: Counted = {}  # within the open transaction
        self.everywhere: Counted | None = None  # the whole server's counts, read while a long statement ran
        self.started = 0.0

    def start(self) -> None:
        """Count from 0. To be called outside of a transaction."""
        if self.lookout.counts:
            self.ask(START)
            self.started = time.monotonic()

    def begin(self) -> None:
        """A transaction begins: nothing was counted in it yet."""
        self.before, self.everywhere = {}, None

    def begin_outside(self) -> None:
        """A statement outside of a transaction begins."""
        if time.monotonic() - self.started > SURELY:
            self.start()
        self.everywhere = None

    def look_everywhere(self) -> None:
        """A statement outside of a transaction still runs: note what the server has counted so far, without it."""
        if self.everywhere is None and self.lookout.counts:
            self.everywhere = self._everywhere()

    def inside(self, oids: set[int]) -> Counted:
        """What was done to these tables since the last count in this transaction."""
        these = sorted(oid for oid in oids if oid >= FIRST_NORMAL_OID)
        if not these or not self.lookout.counts:
            return {}
        now = self._count(OF_THESE.format(",".join(map(str, these))))
        found = {oid: rows.since(self.before.get(oid)) for oid, rows in now.items()}
        self.before = now
        return {oid: rows for oid, rows in found.items() if any(rows[1:])}

    def outside(self, locked: set[int]) -> Counted | None:
        """What a statement outside of a transaction did; None where that is not known.

        After a second or more the session has added its counts to those of the whole server, so that these are compared with
        what they were while it ran. What others did meanwhile is then in it too: only to tables that it was seen to lock, if
        any were seen.
        """
        if not self.lookout.counts:
            return None
        ran = time.monotonic() - self.started
        try:
            found = self._count(OF_ALL)
        except Exception:  # noqa: BLE001 - whatever driver it is: outside of a transaction it harms nobody
            return None
        if found:
            self.started = time.monotonic()
        if ran < SAFELY:
            return found
        if self.everywhere is None:
            return found or None
        now = self._everywhere()
        seen = now.keys() & locked or now.keys()
        for oid in seen - found.keys():
            rows = now[oid].since(self.everywhere.get(oid))
            if any(rows[1:]):
                found[oid] = rows
        return found

    def _everywhere(self) -> Counted:
        return {oid: Rows(*counts) for oid, *counts in self.lookout.rows_everywhere()}

    def _count(self, which: str) -> Counted:
        answer = self.ask(COUNT.format(which))
        if answer:
            self.asked = answer[0][0]
        return {
            oid: Rows(f"{schema}.{name}", returned + fetched, inserted, updated, deleted)
            for _, _, oid, kind, schema, name, returned, fetched, inserted, updated, deleted in answer
            if kind in KINDS
        }
