"""Who holds which lock in a database and who waits for whom, as a tree: below each session those that wait for it.

>>> print(lock_tree(connection))
alice: idle in transaction, for 1,204 ms
│ SELECT count(*) FROM users
│ holds AccessShareLock on users (blocks nothing but schema changes)
└─ alembic: waits for AccessExclusiveLock on users (blocks reads and writes), for 802 ms
   │ ALTER TABLE users ADD COLUMN nickname TEXT
   │ alice holds AccessShareLock
   └─ bob: waits for AccessShareLock on users, for 310 ms
        SELECT email FROM users WHERE id = 1
        alembic is before it in the queue

Sessions go by their application_name, so that two runs of the same scene differ in milliseconds alone. What the
connection's role may not see of another's session is "?".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from migration_xray.markup import sign, table
from migration_xray.words import listed, milliseconds, shortened

from .modes import MODES

if TYPE_CHECKING:
    import psycopg

NOBODY = "Nobody holds a lock on a table here, and nobody waits for one."
OURS = ("migration-lab", "x-ray")  # the lab's own sessions, by application_name
PREPARED = 0  # the pid that a prepared transaction goes by
TABLES = frozenset("rpvmf")  # relkinds that rows are read from
NOTEWORTHY = MODES["ShareUpdateExclusiveLock"].rank  # on an index, weaker locks are what every query takes

# https://www.postgresql.org/docs/18/monitoring-stats.html#MONITORING-PG-STAT-ACTIVITY-VIEW
# Of other roles' sessions an ordinary role sees the name, but neither the state nor the statement.
SESSIONS = """
    SELECT pid, leader_pid, usename AS user, application_name AS name, datname IS NOT DISTINCT FROM current_database() AS here,
        usesysid IS NOT NULL AS is_client, backend_type, state, query,
        extract(epoch FROM clock_timestamp() - CASE state WHEN 'active' THEN query_start ELSE state_change END)::float
            * 1000 AS ms
    FROM pg_stat_activity WHERE pid <> pg_backend_pid() ORDER BY backend_start, pid"""

# https://www.postgresql.org/docs/18/view-pg-locks.html
LOCKS = f"""
    SELECT coalesce(pid, {PREPARED}) AS pid, locktype AS type, mode, granted,
        jsonb_build_array(locktype, l.database, l.relation, page, tuple, virtualxid, transactionid::text,
                          l.classid, l.objid, l.objsubid)::text AS object,
        c.oid, c.oid::regclass::text AS relation, relkind AS kind, indrelid AS part_of,
        coalesce(nspname ~ '^pg_' OR nspname = 'information_schema', false) AS is_system,
        CASE l.objsubid WHEN 1 THEN ((l.classid::bigint << 32) | l.objid::bigint)::text
            WHEN 2 THEN format('(%%s, %%s)', l.classid, l.objid) END AS key,
        extract(epoch FROM clock_timestamp() - waitstart)::float * 1000 AS ms,
        CASE WHEN NOT granted THEN pg_blocking_pids(pid) END AS blockers
    FROM pg_locks l
    LEFT JOIN pg_class c ON c.oid = l.relation
        AND l.database IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
    LEFT JOIN pg_namespace n ON n.oid = relnamespace
    LEFT JOIN pg_index i ON indexrelid = c.oid
    WHERE mode = ANY(%s) AND pid IS DISTINCT FROM pg_backend_pid()"""


class SessionRow(NamedTuple):
    """A row of SESSIONS."""

    pid: int
    leader_pid: int | None
    user: str | None
    name: str | None
    here: bool
    is_client: bool
    backend_type: str | None
    state: str | None
    query: str | None
    ms: float | None


class LockRow(NamedTuple):
    """A row of LOCKS; ``oid`` and what follows up to ``part_of`` are known of a relation in this database."""

    pid: int
    type: str
    mode: str
    granted: bool
    object: str
    oid: int | None
    relation: str | None
    kind: str | None
    part_of: int | None
    is_system: bool
    key: str | None
    ms: float | None
    blockers: list[int] | None


@dataclass(frozen=True)
class Lock:
    """A lock on a table, by the name that the search path gives it, or on what ``on`` says ("advisory lock 42")."""

    mode: str
    on: str
    blocks: str = ""

    def __str__(self) -> str:
        return f"{self.mode} on {self.on}" + (f" (blocks {self.blocks})" if self.blocks else "")


@dataclass(frozen=True)
class Wait:
    """What a session waits for, because of whom; ``blockers`` are the pids that ``pg_blocking_pids`` gives."""

    what: str
    because: str
    ms: float | None
    blockers: tuple[int, ...]

    def __str__(self) -> str:
        return "; ".join(filter(None, [f"waits for {self.what}", self.because]))


@dataclass(frozen=True)
class Backend:
    """A session: its state and last statement as ``pg_stat_activity`` has them, what it holds, what it waits for."""

    pid: int
    name: str
    state: str
    statement: str
    ms: float | None
    holds: tuple[Lock, ...]
    wait: Wait | None


class LockTree:
    """The sessions of a database that hold locks on tables or wait; ``names`` has every session's name by its pid."""

    def __init__(self, backends: Iterable[Backend], names: dict[int, str]):
        self.backends = {backend.pid: backend for backend in backends}
        self.names = names
        self.depths: dict[int, int] = {}
        self.parents = {pid: self._parent(pid) for pid in self.backends}
        for pid in self.backends:
            if pid in self._ancestors(pid):  # a deadlock: who waits in a circle has no root
                self.parents[pid] = None

    def wait_of(self, pid: int) -> Wait | None:
        return self.backends[pid].wait if pid in self.backends else None

    def below(self, pid: int | None) -> list[Backend]:
        """Those who wait for this session, in the order in which they connected; for None, who wait for nobody."""
        return [self.backends[one] for one, parent in self.parents.items() if parent == pid]

    def __repr__(self) -> str:
        return "\n".join(line for root in self.below(None) for line in self._branch(root)) or NOBODY

    def _repr_html_(self) -> str:
        if not self.backends:
            return f"<p>{NOBODY}</p>"
        return table(COLUMNS, [row for root in self.below(None) for row in self._rows(root, 0)], named=True)

    def _parent(self, pid: int) -> int | None:
        """Of those that a session waits for, the last one that it will see go."""
        return max(self._blockers(pid), key=self._depth, default=None)

    def _depth(self, pid: int) -> int:
        """How many wait one behind the other before this one."""
        if pid not in self.depths:
            self.depths[pid] = 0  # as long as it is counted: in a deadlock they wait in a circle
            self.depths[pid] = 1 + max(map(self._depth, self._blockers(pid)), default=0)
        return self.depths[pid]

    def _blockers(self, pid: int) -> list[int]:
        wait = self.wait_of(pid)
        return [one for one in wait.blockers if one in self.backends] if wait else []

    def _ancestors(self, pid: int) -> list[int]:
        ancestors: list[int] = []
        parent = self.parents[pid]
        while parent is not None and parent not in ancestors:
            ancestors.append(parent)
            parent = self.parents[parent]
        return ancestors

    def _branch(self, backend: Backend) -> list[str]:
        head, *more = _said(backend)
        below = self.below(backend.pid)
        lines = [f"{backend.name}: {head}", *(("│ " if below else "  ") + line for line in more)]
        for one in below:
            last = one is below[-1]
            first, *rest = self._branch(one)
            lines += [("└─ " if last else "├─ ") + first, *(("   " if last else "│  ") + line for line in rest)]
        return lines

    def _rows(self, backend: Backend, depth: int) -> Iterator[tuple[str, ...]]:
        state, statement, *locks = map(escape, _said(backend))
        branch = sign("└─ ", f"padding-left: {1.5 * depth - 1.5}em") if depth else ""
        yield (
            f'<span style="white-space: nowrap">{branch}<b>{escape(backend.name)}</b></span>',
            re.sub(r"(?m)^(waits for|holds)", r"<b>\1</b>", "\n".join([state, *locks])).replace("\n", "<br>"),
            f'<code style="white-space: pre-wrap; overflow-wrap: anywhere">{statement}</code>',
        )
        for one in self.below(backend.pid):
            yield from self._rows(one, depth + 1)


COLUMNS = ("session", "locks", "statement")


def _said(backend: Backend) -> list[str]:
    """What a session does, its statement, because of whom it waits, and what it holds, a line each."""
    wait = backend.wait
    state, ms = (f"waits for {wait.what}", wait.ms) if wait else (backend.state, backend.ms)
    since = "" if ms is None else f", for {milliseconds(ms)}"
    because = [wait.because] if wait and wait.because else []
    return [state + since, backend.statement, *because, *(f"holds {lock}" for lock in backend.holds)]


# --- Looking ----------------------------------------------------------------------------------------------------------


def lock_tree(connection: psycopg.Connection, pids: bool = False) -> LockTree:
    """The locks and waits in the connection's database, but for the connection's own.

    With ``pids`` a session's name has its pid and its role too: who wants to end it needs them.
    """
    from psycopg.rows import class_row

    with connection.cursor(row_factory=class_row(LockRow)) as cursor:
        locks = cursor.execute(LOCKS, [list(MODES)]).fetchall()
    with connection.cursor(row_factory=class_row(SessionRow)) as cursor:
        sessions = cursor.execute(SESSIONS).fetchall()
    names = _names(sessions)
    if pids:
        names |= {
            one.pid: f"{one.name or 'a session without a name'} (pid {one.pid}, user {one.user})"
            for one in sessions
            if one.user
        }
    leaders = {session.pid: session.leader_pid or session.pid for session in sessions}
    locks = [lock._replace(pid=leaders.get(lock.pid, lock.pid)) for lock in locks]
    here = {session.pid for session in sessions if session.here}
    blocking = {pid for lock in locks if lock.pid in here for pid in lock.blockers or ()}
    backends = []
    for session in sessions:
        own = [lock for lock in locks if lock.pid == session.pid]
        holds, wait = _holds(own), _wait(own, locks, names)
        is_of_interest = session.is_client and session.name not in OURS and holds
        if session.here and (wait or is_of_interest) or session.pid in blocking:
            state, statement = _state(session)
            backends.append(Backend(session.pid, names[session.pid], state, statement, session.ms, holds, wait))
    return LockTree(backends, names)


def in_names(said: str, connection: psycopg.Connection) -> str:
    """A sentence of PostgreSQL's about a deadlock, with names for the numbers that nobody knows."""
    names = lock_tree(connection).names

    def relation(match: re.Match[str]) -> str:
        [(name,)] = connection.execute("SELECT %s::oid::regclass::text", [match[1]])
        return str(name)

    said = re.sub(r"\b[Pp]rocess (\d+)", lambda match: names.get(int(match[1]), match[0]), said)
    said = re.sub(r"\brelation (\d+) of database \d+", relation, said)
    said = re.sub(r"\btuple \(\d+,\d+\) of ", "a row of ", said)
    return re.sub(r"\btransaction \d+", "a transaction", said)


def _names(sessions: Iterable[SessionRow]) -> dict[int, str]:
    """By pid the application_name, numbered where several have the same one, and where there is none "pid 4711"."""
    names, count = {PREPARED: "a prepared transaction"}, Counter[str]()
    for session in sorted(sessions, key=lambda session: not session.here):
        name = session.name or ("autovacuum" if session.backend_type == "autovacuum worker" else "")
        count[name] += 1
        number = f" {count[name]}" if count[name] > 1 else ""
        names[session.pid] = name + number if name else f"pid {session.pid}"
    return names


def _state(session: SessionRow) -> tuple[str, str]:
    if session.state is None or session.state == "disabled":
        return "?", "?"
    return session.state, shortened(session.query or "", 100)


def _holds(own: list[LockRow]) -> tuple[Lock, ...]:
    """The strongest lock on each table, and on an index where it is more than its table's; advisory locks too."""
    strongest: dict[int, LockRow] = {}
    for lock in own:
        if lock.granted and lock.type == "relation" and lock.oid and not lock.is_system:
            strongest[lock.oid] = max(strongest.get(lock.oid, lock), lock, key=_rank)

    def is_telling(lock: LockRow) -> bool:
        if lock.part_of is not None:  # an index
            table = strongest.get(lock.part_of)
            return _rank(lock) >= NOTEWORTHY and (table is None or _rank(lock) > _rank(table))
        return lock.kind in TABLES

    tables = sorted(filter(is_telling, strongest.values()), key=lambda lock: (-_rank(lock), lock.relation))
    advisory = [lock for lock in own if lock.granted and lock.type == "advisory"]
    advisory.sort(key=lambda lock: lock.key or "")
    return tuple(map(_lock, [*tables, *advisory]))


def _rank(lock: LockRow) -> int:
    return MODES[lock.mode].rank


def _lock(lock: LockRow) -> Lock:
    if lock.type == "advisory":
        return Lock(lock.mode, f"advisory lock {lock.key}")
    if lock.type == "relation":
        blocks = MODES[lock.mode].blocks if lock.granted or _rank(lock) >= NOTEWORTHY else ""
        return Lock(lock.mode, lock.relation or "a relation", blocks)
    return Lock(lock.mode, f"the {lock.type}")


def _wait(own: list[LockRow], locks: list[LockRow], names: dict[int, str]) -> Wait | None:
    wanted = next((lock for lock in own if not lock.granted), None)
    if wanted is None:
        return None
    blockers = tuple(pid for pid in names if pid in (wanted.blockers or ()))  # the server has them in no order
    named = [names[pid] for pid in blockers]
    rows = [lock.relation for lock in own if lock.type == "tuple" and lock.relation]
    row = f"a row of {rows[0]}" if rows else ""
    if wanted.type in ("transactionid", "virtualxid"):
        whose = "their transactions" if len(named) > 1 else "its transaction"
        what = f"{_listed(named) or 'another session'} to end {whose}"
        return Wait(f"{what} ({row})" if row else what, "", wanted.ms, blockers)
    if wanted.type == "tuple":
        return Wait(row or "a row", _before(named) if named else "", wanted.ms, blockers)
    because = _because(wanted, locks, dict(zip(blockers, named, strict=True)))
    return Wait(str(_lock(wanted)), because, wanted.ms, blockers)


def _because(wanted: LockRow, locks: list[LockRow], blockers: dict[int, str]) -> str:
    """Who holds a lock that this one conflicts with, and who only waits for one and is served first."""
    holders: dict[int, LockRow] = {}
    for lock in locks:
        conflicts = lock.object == wanted.object and MODES[lock.mode].conflicts(MODES[wanted.mode])
        if lock.granted and lock.pid in blockers and conflicts:
            holders[lock.pid] = max(holders.get(lock.pid, lock), lock, key=_rank)
    by_mode: dict[str, list[str]] = {}
    for pid, lock in sorted(holders.items(), key=lambda holder: (-_rank(holder[1]), blockers[holder[0]])):
        by_mode.setdefault(lock.mode, []).append(blockers[pid])
    sentences = [f"{_listed(who)} {'holds' if len(who) == 1 else 'hold'} {mode}" for mode, who in by_mode.items()]
    if queued := [name for pid, name in blockers.items() if pid not in holders]:
        sentences.append(_before(queued))
    return "; ".join(sentences)


def _before(names: list[str]) -> str:
    return f"{_listed(names)} {'is' if len(names) == 1 else 'are'} before it in the queue"


def _listed(names: list[str]) -> str:
    return listed(names if len(names) <= 4 else [*names[:3], f"{len(names) - 3} more"])
