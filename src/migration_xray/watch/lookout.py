"""The second session, from which a migration's own is watched: what it holds, who waits for it, what relations are called."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import psycopg

from migration_xray.connection import OLDEST
from migration_xray.errors import UserError, said, servers_words
from migration_xray.locks import in_names

LONGEST = 300  # letters of a blocker's statement that are read

# https://www.postgresql.org/docs/18/view-pg-locks.html
LOOK = """
    SELECT wal, phase, asked, pid, relation, mode, granted, waitstart,
        extract(epoch FROM clock_timestamp() - waitstart)::float * 1000,
        CASE WHEN NOT granted AND pid <> %(pid)s THEN %(pid)s = ANY(pg_blocking_pids(pid)) END,
        CASE WHEN NOT granted AND relation IS NULL THEN
            (SELECT t.relation FROM pg_locks t WHERE t.pid = l.pid AND t.locktype = 'tuple' LIMIT 1) END,
        locktype, CASE WHEN NOT granted AND pid = %(pid)s THEN pg_blocking_pids(pid) END
    FROM (SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint AS wal,
            (SELECT phase FROM pg_stat_progress_create_index WHERE pid = %(pid)s) AS phase,
            (SELECT date_part('epoch', query_start) FROM pg_stat_get_activity(%(pid)s)) AS asked) AS always
    LEFT JOIN pg_locks l
        ON pid = %(pid)s AND (locktype = 'relation' AND database = %(database)s OR locktype = 'virtualxid')
            AND mode <> 'SIReadLock' OR NOT granted"""  # which is SERIALIZABLE's, and blocks nobody

# Of a session of another role, an ordinary role sees who it is, but neither its state nor its statement.
BLOCKERS = f"""
    SELECT pid, usename, coalesce(nullif(application_name, ''), nullif(backend_type, 'client backend')),
        state, extract(epoch FROM clock_timestamp() - xact_start)::float * 1000,
        CASE WHEN state IS NOT NULL THEN left(query, {LONGEST}) END,
        ARRAY(SELECT mode FROM pg_locks l WHERE l.pid = a.pid AND granted AND locktype = 'relation'
            AND database IN (0, %(database)s) AND relation = %(relation)s)
    FROM pg_stat_activity a WHERE pid = ANY(%(pids)s) ORDER BY backend_start, pid"""

# Queries follow one another too slowly for a statement that is over within a millisecond. This looks without a pause for
# as long as one is at work, but not for long: COMMIT keeps CREATE INDEX CONCURRENTLY from waiting for an old snapshot.
STARE = """DO $$
DECLARE
    works boolean;
    worked int := 0;
    rested int := 0;
    held text[];
    known text[] := '{{}}';
    told text := '';
BEGIN
    RAISE NOTICE 'looking';
    WHILE clock_timestamp() < statement_timestamp() + interval '10 ms' LOOP
        SELECT count(*) > 0, array_agg(relation || ' ' || mode) FILTER
            (WHERE granted AND locktype = 'relation' AND database = {database} AND mode <> 'SIReadLock')
            INTO works, held FROM pg_locks WHERE pid = {pid};
        worked := worked + works::int;
        rested := CASE WHEN worked > 0 AND NOT works THEN rested + 1 ELSE 0 END;
        EXIT WHEN rested > 5;  -- between two transactions of one statement there is hardly a rest
        IF NOT held <@ known THEN
            SELECT told || string_agg(format('%s %s,', lock, extract(epoch FROM clock_timestamp() - statement_timestamp())), '')
                INTO told FROM unnest(held) AS lock WHERE lock <> ALL (known);
            known := known || held;
        END IF;
        COMMIT;
    END LOOP;
    RAISE NOTICE '% %', worked, told;
END $$"""

RELATIONS = """
    SELECT c.oid, relname, nspname || '.' || relname, relkind, relfilenode, reltablespace, coalesce(indrelid,
        (SELECT refobjid FROM pg_depend WHERE relkind = 'S' AND classid = 'pg_class'::regclass AND objid = c.oid
         AND refclassid = classid AND refobjsubid > 0 LIMIT 1))
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace LEFT JOIN pg_index ON indexrelid = c.oid
    WHERE nspname <> 'information_schema' AND nspname !~ '^pg_' AND {}"""
NAME = "SELECT nspname || '.' || relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE c.oid = %s"
OF_THESE = RELATIONS.format("c.oid = ANY(%s::oid[])")
TABLES_CALLED = RELATIONS.format("relname = %s AND relkind IN ('r', 'p', 'm')")
CHANGED = RELATIONS.format(
    "relkind IN ('r', 'p', 'm', 'v', 'f', 'i', 'I', 'S') AND (age(c.xmin) <= age(%s::xid)) IS NOT FALSE"
)
OLDEST_AT_WORK = "SELECT pg_snapshot_xmin(pg_current_snapshot())::xid::text"  # every older transaction has ended

# What all sessions together have read and written, as far as they have told it.
ROWS_EVERYWHERE = """
    SELECT relid, schemaname || '.' || relname, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0),
        n_tup_ins, n_tup_upd, n_tup_del
    FROM pg_stat_user_tables"""
COUNTS = """
    SELECT current_setting('track_counts')::bool AND bool_and(has_function_privilege(oid, 'EXECUTE'))
    FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace AND proname IN (
        'pg_stat_get_xact_tuples_returned', 'pg_stat_get_xact_tuples_fetched', 'pg_stat_get_xact_tuples_inserted',
        'pg_stat_get_xact_tuples_updated', 'pg_stat_get_xact_tuples_deleted', 'pg_stat_force_next_flush', 'pg_identify_object')"""

# What stands there without being in force, with the oid of its table, and the statement that mends it. An index that
# another session builds just now is INVALID too; a partition's constraint follows that of its parent.
LEFTOVERS = """
    SELECT 'index', ns.nspname || '.' || c.relname, tn.nspname || '.' || t.relname, indrelid,
        CASE WHEN c.relkind = 'I' THEN format('ALTER INDEX %%I.%%I ATTACH PARTITION …; -- for each partition', ns.nspname, c.relname)
            WHEN c.relname ~ '_cc(new|old)[0-9]*$' THEN format('DROP INDEX CONCURRENTLY %%I.%%I;', ns.nspname, c.relname)
            ELSE format('REINDEX INDEX CONCURRENTLY %%I.%%I;', ns.nspname, c.relname) END
    FROM pg_index i JOIN pg_class c ON c.oid = indexrelid JOIN pg_namespace ns ON ns.oid = c.relnamespace
    JOIN pg_class t ON t.oid = indrelid JOIN pg_namespace tn ON tn.oid = t.relnamespace
    WHERE NOT indisvalid AND ns.nspname !~ '^pg_' AND NOT EXISTS
        (SELECT FROM pg_stat_progress_create_index p WHERE p.index_relid = indexrelid AND p.pid <> %(pid)s)
    UNION ALL
    SELECT 'constraint', conname::text, n.nspname || '.' || coalesce(relname, typname), conrelid,
        format('ALTER %%s %%I.%%I VALIDATE CONSTRAINT %%I;', CASE WHEN conrelid = 0 THEN 'DOMAIN' ELSE 'TABLE' END,
            n.nspname, coalesce(relname, typname), conname)
    FROM pg_constraint con LEFT JOIN pg_class c ON c.oid = conrelid LEFT JOIN pg_type y ON y.oid = contypid
    JOIN pg_namespace n ON n.oid = coalesce(relnamespace, typnamespace)
    WHERE NOT convalidated AND conparentid = 0 AND coninhcount = 0 AND n.nspname !~ '^pg_'
        AND to_jsonb(con) ->> 'conenforced' IS DISTINCT FROM 'false'  -- a column of PostgreSQL 18
    ORDER BY 1 DESC, 3, 2"""

FOREIGN_KEYS = (
    "SELECT conrelid, confrelid FROM pg_constraint WHERE contype = 'f' AND conname = %s AND conrelid = ANY(%s::oid[])"
)


class Relation(NamedTuple):
    """A row of ``pg_class``; ``kind`` is its relkind, ``file`` its file's number, ``part_of`` an index's or sequence's table."""

    oid: int
    name: str
    qualified: str
    kind: str
    file: int
    tablespace: int
    part_of: int | None

    @property
    def is_table(self) -> bool:
        """A table, or whatever else rows are read from."""
        return self.kind in "rpmvf"


class Wanted(NamedTuple):
    """A lock that the session waits for: its kind as in ``pg_locks``, the relation's oid if there is one, and behind whom."""

    kind: str
    oid: int | None
    mode: str
    ms: float
    blockers: tuple[int, ...]


@dataclass(frozen=True)
class Look:
    """What one look showed, at ``began`` by the monotonic clock or a little later.

    ``found`` is how often it showed the session in a transaction. ``held`` are its locks by (relation's oid, mode), with the time
    before which they were not there, or 0; ``own_waits`` its waits by when each began, and ``waits`` those of others
    for it, in ms by (pid, relation's oid). ``wal`` is what the server has written, in bytes; ``phase`` that of an index
    being built, if any. ``asked`` is when the session began its last query, by the server's clock in seconds.
    """

    began: float
    found: int = 0
    held: dict[tuple[int, str], float] = field(default_factory=dict)
    own_waits: dict[datetime, Wanted] = field(default_factory=dict)
    waits: dict[tuple[int, int | None], float] = field(default_factory=dict)
    wal: int = 0
    phase: str | None = None
    asked: float | None = None


class Lookout:
    """A session like the one of ``driver``, a connection of psycopg or psycopg2: to the same server, as the same role.

    ``lost`` is what the server said, or libpq, when it ended this session; from then on nothing is seen. ``counts`` says
    whether sessions count the rows that they read and write, and may be asked for it.
    Raises UserError where the server refuses the session, or to let it see.
    """

    def __init__(self, driver: Any):
        self.pid = driver.info.backend_pid
        self.lost: str | None = None
        self.every: dict[int, Relation] = {}
        self.read_until: str | None = None
        try:
            self.session = _connect(driver.info)
        except psycopg.OperationalError as error:
            raise UserError(
                f"X-ray watches from a second session, and PostgreSQL refused it: {servers_words(error)}. "
                "Let the role have one more, or run the command with `alembic` itself."
            ) from None
        try:
            self.version, self.database_name, self.database, self.counts = self._introduce()
        except BaseException:
            self.session.close()
            raise

    def _introduce(self) -> tuple[str, str, int, bool]:
        info = self.session.info
        version = (info.parameter_status("server_version") or "").split(" ")[0]
        if info.server_version < OLDEST * 10000:
            raise UserError(
                f"This server is PostgreSQL {version}; x-ray needs {OLDEST} or newer. Run the command with `alembic` itself."
            )
        # It must neither be ended for being idle, nor wait for a migration that locks the catalogs; STARE speaks in notices.
        self.session.execute("SET idle_session_timeout = 0; SET lock_timeout = '5s'; SET client_min_messages = notice")
        row = self.session.execute("SELECT datid FROM pg_stat_activity WHERE pid = %s", [self.pid]).fetchone()
        if row is None:
            raise UserError(
                "X-ray's second session does not find the migration's among those of the server: a pooler such as PgBouncer, "
                "or a balancer, stands between. Give env.py the server's own address."
            )
        [(counts,)] = self.session.execute(COUNTS).fetchall()
        self.session.prepare_threshold = 0
        return version, info.dbname, row[0], bool(counts)

    def look(self) -> Look | None:
        """Look at the locks now; None once the session is lost."""
        began = time.monotonic()
        rows = self._ask(LOOK, {"pid": self.pid, "database": self.database})
        if not rows:
            return None
        wal, phase, asked = rows[0][:3]
        look = Look(began, int(any(row[3] == self.pid for row in rows)), wal=wal, phase=phase, asked=asked)
        for _, _, _, pid, relation, mode, granted, began_waiting, waited, for_us, row_of, kind, blockers in rows:
            if pid == self.pid and granted and relation:
                look.held[relation, mode] = 0.0
            elif pid == self.pid and began_waiting:
                look.own_waits[began_waiting] = Wanted(kind, relation or row_of, mode, waited, tuple(blockers))
            elif for_us:
                look.waits[pid, relation or row_of] = waited or 0.0
        return look

    def stare(self, begins: Callable[[], None]) -> Look | None:
        """Look without a pause until the session's transaction is over, for 10 ms at most; ``begins`` is called at the start."""
        began, said = time.monotonic(), []

        def hear(notice: psycopg.errors.Diagnostic) -> None:
            if notice.message_primary == "looking":
                begins()
            said.append(notice.message_primary)

        self.session.add_notice_handler(hear)
        try:
            self.session.execute(STARE.format(pid=self.pid, database=self.database))
        except psycopg.Error:  # a server without PL/pgSQL, or none any more
            begins()
            return self.look()
        finally:
            self.session.remove_notice_handler(hear)
        worked, _, told = (said[-1] or "").partition(" ")
        look = Look(began, int(worked))
        for lock in filter(None, told.split(",")):
            relation, mode, after = lock.split(" ")
            look.held[int(relation), mode] = began + float(after)
        return look

    def every_relation(self) -> dict[int, Relation]:
        """All relations, as :meth:`relations` has them; at the second time only what has changed is read."""
        since, now = self.read_until, self._ask(OLDEST_AT_WORK)
        self.every |= {row[0]: Relation._make(row) for row in self._ask(CHANGED, [since])}
        self.read_until = now[0][0] if now else None
        return self.every

    def relations(self, oids: set[int]) -> dict[int, Relation]:
        """Relations as others than the migration see them: what its open transaction made is not there yet."""
        return {row[0]: Relation._make(row) for row in self._ask(OF_THESE, [list(oids)])} if oids else {}

    def tables_called(self, name: str) -> list[str]:
        """The qualified names of the tables that have this name in some schema."""
        return [row[2] for row in self._ask(TABLES_CALLED, [name])]

    def existing(self, oids: set[int]) -> set[int]:
        """Which of these oids are relations, PostgreSQL's own and temporary ones too."""
        return {oid for (oid,) in self._ask("SELECT oid FROM pg_class WHERE oid = ANY(%s::oid[])", [list(oids)])}

    def foreign_keys(self, name: str, oids: set[int]) -> list[tuple[int, int]]:
        """The tables, referencing and referenced, of each foreign key of this name on one of these."""
        return self._ask(FOREIGN_KEYS, [name, list(oids)])

    def rows_everywhere(self) -> list[tuple[Any, ...]]:
        """The oid and name of each table, and how many of its rows all sessions have read, inserted, updated and deleted."""
        return self._ask(ROWS_EVERYWHERE)

    def leftovers(self) -> list[tuple[Any, ...]]:
        """What stands without being in force: kind, name, table or domain, the table's oid, and what mends it."""
        return self._ask(LEFTOVERS, {"pid": self.pid})

    def blockers(self, wanted: Wanted) -> list[tuple[Any, ...]]:
        """The sessions that a wait is for: pid, user, name, state, age of the transaction, statement, modes of its locks."""
        parameters = {"pids": list(wanted.blockers), "relation": wanted.oid, "database": self.database}
        return self._ask(BLOCKERS, parameters)

    def name(self, oid: int) -> str | None:
        """The qualified name of a relation, PostgreSQL's own too."""
        rows = self._ask(NAME, [oid])
        return rows[0][0] if rows else None

    def in_names(self, said: str) -> str:
        """What PostgreSQL said about a deadlock, with names in place of the numbers."""
        try:
            return in_names(said, self.session) if self.lost is None else said
        except psycopg.Error:
            return said

    def cancel_if_active(self) -> None:
        """End a statement that still runs though nobody waits for it any more."""
        self._ask("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = %s AND state = 'active'", [self.pid])

    def close(self) -> None:
        self.session.close()

    def _ask(self, query: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        """Rows, or none once the session is lost: what was seen before that stays true."""
        if self.lost is None:
            try:
                return self.session.execute(query, parameters).fetchall()
            except psycopg.Error as error:
                self.lost = said(error)
        return []


def _connect(info: Any) -> psycopg.Connection:
    known = info.get_parameters() if hasattr(info, "get_parameters") else dict(info.dsn_parameters)
    known.pop("options", None)  # settings of the migration's own
    # Of several hosts, the one that the migration has reached.
    known |= {
        "host": info.host,
        "port": info.port,
        "hostaddr": getattr(info, "hostaddr", None),
        "password": info.password,
    }
    known |= {"application_name": "x-ray", "autocommit": True, "connect_timeout": known.get("connect_timeout") or 10}
    return psycopg.connect(**{name: value for name, value in known.items() if value not in (None, "")})
