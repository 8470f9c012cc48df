"""What an Alembic command did to the server, as data: a Trace of transactions, their statements, locks and verdicts.

``Trace.to_dict`` gives what ``lab xray --json`` prints; ``trace.schema.json`` beside this file describes it. Relations
are named with their schema ("public.users"), lock modes as in ``pg_locks`` ("AccessExclusiveLock").
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from migration_xray.errors import needing
from migration_xray.locks import MODES
from migration_xray.words import bare, milliseconds, shortened

if TYPE_CHECKING:
    import pandas

VERSION = 1  # of the JSON: a new key keeps it, a changed or a missing one raises it
NOTEWORTHY = MODES["ShareUpdateExclusiveLock"].rank  # weaker locks are what every SELECT and UPDATE takes


@dataclass(frozen=True)
class Lock:
    """A lock on a relation that a statement was the first of its transaction to hold."""

    relation: str
    mode: str


@dataclass(frozen=True)
class Held:
    """The strongest lock that a transaction held on a relation; ``ms`` from when it was had until it was let go."""

    relation: str
    mode: str
    ms: float
    blocks: str

    @property
    def rank(self) -> int:
        return MODES[self.mode].rank


@dataclass(frozen=True)
class Waited:
    """How many other sessions waited for this transaction's lock on a relation, and the longest wait among them.

    ``relation`` is None where they waited for rows of a table that their locks do not tell. ``own`` is how many of the
    sessions were the migration's own.
    """

    relation: str | None
    sessions: int
    ms: float
    own: int = 0


@dataclass(frozen=True)
class Blocker:
    """A session that a statement waited for, as ``pg_stat_activity`` had it at the last look.

    ``own`` is true for another session of the same migration. ``holds`` is the mode of its lock on the relation that was
    waited for, None where it only stands before in the queue or where something else than a relation was waited for.
    ``transaction_ms`` is how long its transaction had been open, and ``statement`` its last one, cut. What the
    migration's role may not see of another role's session is None. A prepared transaction has the pid 0.
    """

    pid: int
    user: str | None
    application_name: str | None
    state: str | None
    transaction_ms: float | None
    statement: str | None
    holds: str | None
    own: bool

    def __str__(self) -> str:
        if not self.pid:
            return "a prepared transaction (those open are in pg_prepared_xacts)"
        whose = "another session of this migration: " if self.own else ""
        words = (
            f"{whose}{self.application_name or 'a session without a name'} (pid {self.pid}, user {self.user or '?'})"
        )
        told = [self.state or "its state is not shown to this role"]
        if self.transaction_ms is not None:
            told.append(f"its transaction open for {milliseconds(self.transaction_ms)}")
        if self.holds:
            told.append(f"holds {self.holds}")
        return f"{words}, {', '.join(told)}" + (f": {self.statement}" if self.statement else "")


@dataclass(frozen=True)
class Awaited:
    """A lock that a statement waited for, how long, and behind whom.

    ``kind`` is the type of the lock as ``pg_locks`` names it: "relation", or "transactionid" where another transaction had to
    end first. ``relation`` is the relation that the lock is on, or the table whose row it is about, if any.
    """

    kind: str
    relation: str | None
    mode: str
    ms: float
    blockers: list[Blocker] = field(default_factory=list)

    @property
    def what(self) -> str:
        """What was waited for, in words."""
        if self.kind == "relation":
            return f"{self.mode} on {bare(self.relation or 'a relation')}"
        if self.relation and self.kind in ("transactionid", "tuple"):
            return f"a row of {bare(self.relation)}"
        if self.kind in ("transactionid", "virtualxid"):
            return "the end of a transaction"
        return f"a lock of the type {self.kind}" + (f" on {bare(self.relation)}" if self.relation else "")

    @property
    def on_itself(self) -> bool:
        """Whether it was another session of the same migration that was waited for, and nobody else."""
        return bool(self.blockers) and all(blocker.own for blocker in self.blockers)


@dataclass(frozen=True)
class Touched:
    """How many rows of a table a statement read, inserted, updated and deleted, as PostgreSQL counts them.

    What its triggers, functions and DO blocks did is in it, and what was rolled back. Rows that came out of an index alone
    are not, nor those that parallel workers read.
    """

    relation: str
    read: int
    inserted: int
    updated: int
    deleted: int

    @property
    def written(self) -> int:
        return self.inserted + self.updated + self.deleted


@dataclass(frozen=True)
class Phase:
    """A phase of building an index, as ``pg_stat_progress_create_index`` names it, and how long it was seen."""

    name: str
    ms: float


@dataclass(frozen=True)
class Notice:
    """A NOTICE or a WARNING of the server's, and how many times it came while one statement ran."""

    severity: str
    message: str
    detail: str | None = None
    times: int = 1


@dataclass(frozen=True)
class Leftover:
    """Something that stands in the database without being in force: an INVALID index, or a constraint that is NOT VALID.

    ``kind`` is "index" or "constraint", ``repair`` the statement that puts it in force, or removes what is of no use any more.
    ``relation`` is its table or domain. ``met`` is true where it was there before the command, which came across it.
    """

    kind: str
    name: str
    relation: str
    database: str
    repair: str
    met: bool = False


@dataclass(frozen=True)
class Failure:
    """The server's refusal of a statement, or what else ended it (then ``sqlstate`` is None).

    ``detail`` is PostgreSQL's; of a deadlock it has the names of sessions and tables in place of their numbers.
    """

    sqlstate: str | None
    message: str
    detail: str | None = None


@dataclass
class Statement:
    """One statement, and what the server did for it.

    ``at`` is in seconds since the trace began, ``ms`` how long it took, and ``lock_wait_ms`` how much of that it waited
    for locks, which ``awaited`` has one by one. ``wal_bytes`` is what the whole server wrote meanwhile, other sessions
    included. ``rows`` is what the driver counted, None where there is nothing to count. ``touched`` has the rows of each
    table that were read and written. It is empty where the statement failed and its transaction ended with that. What a deferred trigger does at the
    COMMIT is in no statement's. Outside of a transaction, what others do to the same table is in it too if the statement
    takes a second or more. ``written`` is how many rows it inserted, updated and deleted in all.

    ``locks`` are those that it was the first of its transaction to hold; ``under`` has the strongest one on each relation that
    was held at some time while it ran, its own and those of earlier statements. ``own`` is true for Alembic's own
    bookkeeping; ``where`` is the line of the migration, "0004_phone.py:21". ``built`` names indexes; ``rewrote`` and
    ``scanned`` tables, the latter read as a whole to verify a constraint. ``unbuilt`` are indexes that it was building when it
    failed, and ``left_invalid`` those of them that are still there, INVALID; the others were rolled back. ``says`` are the
    server's messages, and ``notices`` those that it sends to everybody. ``unseen`` is true where its locks were let go, at the
    end of a transaction of its own or by an error, before one could look at them well. Where it ended the transaction itself,
    as a script with a COMMIT does, ``locks`` has those that were seen.
    """

    sql: str
    at: float
    ms: float = 0.0
    rows: int | None = None
    written: int = 0
    wal_bytes: int = 0
    touched: list[Touched] = field(default_factory=list)
    locks: list[Lock] = field(default_factory=list)
    under: list[Lock] = field(default_factory=list)
    rewrote: list[str] = field(default_factory=list)
    scanned: list[str] = field(default_factory=list)
    built: list[str] = field(default_factory=list)
    unbuilt: list[str] = field(default_factory=list)
    left_invalid: list[str] = field(default_factory=list)
    says: list[str] = field(default_factory=list)
    notices: list[Notice] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    lock_wait_ms: float = 0.0
    awaited: list[Awaited] = field(default_factory=list)
    revision: str | None = None
    where: str | None = None
    own: bool = False
    unseen: bool = False
    error: Failure | None = None

    @property
    def in_short(self) -> str:
        """Its SQL on one line, without the end if that is long."""
        return shortened(self.sql, 160)


@dataclass
class Transaction:
    """A transaction, or with ``autocommit`` one statement outside of any.

    ``outcome`` is "committed", "rolled back", "lost" where the session ended first, or "open" where the command left it
    so. ``held`` and ``waited`` have the worst first.
    """

    at: float
    database: str
    autocommit: bool = False
    outcome: str = "committed"
    ms: float = 0.0
    revisions: list[str] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    waited: list[Waited] = field(default_factory=list)


@dataclass(frozen=True)
class Moment:
    """Something that a statement did while its transaction held a lock on a relation.

    ``did`` is "rewrote", "scanned" (read as a whole to verify a constraint), "built", "wrote" or "read", and ``what`` the
    table or, where it was built, the index. ``rows`` are those that were written, or for all but "wrote", read. ``taken_by``
    is the statement that was the first to hold the lock. Where that is the same statement, x-ray can't tell whether the work
    was done before the lock was had: a DO block may do both, and the two then count as done at the same time.
    """

    transaction: Transaction
    statement: Statement
    did: str
    what: str
    rows: int
    relation: str
    mode: str
    taken_by: Statement

    @property
    def blocks(self) -> str:
        return MODES[self.mode].blocks

    @property
    def under(self) -> str:
        """The lock, and which earlier statement had taken it, in words."""
        taker = "it took itself" if self.taken_by is self.statement else f"`{self.taken_by.in_short}` had taken"
        return f"{self.mode} on {bare(self.relation)}, which {taker}"

    def __str__(self) -> str:
        done = in_words(self.did, self.what, self.rows)
        return f"`{self.statement.in_short}` {done} under {self.under}, and blocked {self.blocks} meanwhile"


@dataclass
class Trace:
    """One Alembic command, from its first session to its last. ``started`` is ``time.monotonic()`` at its beginning.

    ``error`` is the sentence that the command ended with, or None, and ``sqlstate`` PostgreSQL's code where it was the
    server that refused; ``server`` is PostgreSQL's version ("18.6"), None where the command opened no session; ``unseen``
    says what x-ray could not see, and why. ``leftovers`` are those that the command left or came across.
    """

    command: str
    started: float
    server: str | None = None
    error: str | None = None
    sqlstate: str | None = None
    unseen: str | None = None
    transactions: list[Transaction] = field(default_factory=list)
    leftovers: list[Leftover] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.error is None

    @property
    def statements(self) -> list[Statement]:
        """Every statement of the migrations and of env.py, without Alembic's own bookkeeping."""
        return [one for transaction in self.transactions for one in transaction.statements if not one.own]

    @property
    def held(self) -> list[Held]:
        """Every transaction's locks on relations, the worst first."""
        return worst_first([held for transaction in self.transactions for held in transaction.held])

    def strongest(self, relation: str) -> Held | None:
        """The worst lock on a relation ("users" or "audit.log") in any transaction, or None."""
        return next((held for held in self.held if held.relation == qualified(relation)), None)

    def moments(self) -> list[Moment]:
        """What was read, written, scanned, built and rewritten, statement by statement, under each lock that was held meanwhile.

        Alembic's own bookkeeping is left out, and so are locks on relations that the transaction itself had made.
        """
        return [
            Moment(
                transaction, statement, did, what, rows, lock.relation, lock.mode, _taker(transaction, statement, lock)
            )
            for transaction in self.transactions
            for statement in transaction.statements
            if not statement.own
            for did, what, rows in work(statement)
            for lock in statement.under
        ]

    def under(self, blocking: str = "writes", on: str | None = None) -> list[Moment]:
        """What was done while a lock kept others from "reads" or "writes", of any relation or of one ("users", "audit.log")."""
        return [
            moment
            for moment in self.moments()
            if blocking in moment.blocks and (on is None or moment.relation == qualified(on))
        ]

    def taken_by(self, held: Held) -> Statement:
        """The statement that was the first to take a lock."""
        lock = Lock(held.relation, held.mode)
        return next(one for transaction in self.transactions for one in transaction.statements if lock in one.locks)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and lists, ready for JSON, as ``trace.schema.json`` describes them."""
        data = asdict(self)
        del data["started"]
        return {"version": VERSION, "ok": self.ok} | data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Trace:
        """The trace that :meth:`to_dict` gave, also after a journey through JSON. Its ``started`` is 0: clocks don't travel."""
        transactions = [
            Transaction(
                **one
                | {
                    "statements": [_statement(statement) for statement in one["statements"]],
                    "held": [Held(**held) for held in one["held"]],
                    "waited": [Waited(**waited) for waited in one["waited"]],
                }
            )
            for one in data["transactions"]
        ]
        told = {name: data[name] for name in ("command", "server", "error", "sqlstate", "unseen")}
        leftovers = [Leftover(**one) for one in data.get("leftovers", ())]
        return cls(started=0.0, transactions=transactions, leftovers=leftovers, **told)

    def to_frame(self) -> pandas.DataFrame:
        """One row for each statement, Alembic's own too: its transaction's number from 1, and a Statement's fields."""
        with needing("A data frame", "pip install pandas"):
            import pandas

        rows = [
            {"transaction": number, "outcome": transaction.outcome} | vars(statement)
            for number, transaction in enumerate(self.transactions, start=1)
            for statement in transaction.statements
        ]
        frame = pandas.DataFrame(rows, columns=["transaction", "outcome", *Statement.__dataclass_fields__])
        return frame.astype(
            {
                "transaction": "int64",
                "at": float,
                "ms": float,
                "rows": "Int64",
                "written": "int64",
                "wal_bytes": "int64",
            }
        ).astype({"lock_wait_ms": float, "own": bool, "unseen": bool})


def work(statement: Statement) -> list[tuple[str, str, int]]:
    """What a statement did, the heaviest first: how, to which relation, and with how many of its rows.

    What was read to rewrite, scan or build is told with that, and not once more.
    """
    read = {one.relation: one.read for one in statement.touched}
    told = [("rewrote", name, read.pop(name, 0)) for name in statement.rewrote]
    told += [("scanned", name, read.pop(name, 0)) for name in statement.scanned]
    if statement.built:
        told += [("built", name, sum(read.values())) for name in statement.built]
        read.clear()
    told += [("wrote", one.relation, one.written) for one in statement.touched if one.written]
    return told + [("read", name, rows) for name, rows in read.items() if rows]


def in_words(did: str, what: str, rows: int) -> str:
    """A part of a statement's :func:`work`, for example "wrote 1,000 rows of users"."""
    count = f" {rows:,} {'row' if rows == 1 else 'rows'} of" if did in ("wrote", "read") else ""
    return f"{did}{count} {bare(what)}"


def _taker(transaction: Transaction, statement: Statement, lock: Lock) -> Statement:
    """The statement that took a lock under which another one ran: after ROLLBACK TO SAVEPOINT it may be taken once more."""
    for one in transaction.statements:
        if lock in one.locks:
            taker = one
        if one is statement:
            break
    return taker


def qualified(relation: str) -> str:
    return relation if "." in relation else f"public.{relation}"


def shape(sql: str) -> str:
    """A statement without its numbers: the batches of a backfill have one shape."""
    return re.sub(r"(?<![\w.])\d+(?![\w.])", "0", " ".join(sql.split()))


def worst_first(held: list[Held]) -> list[Held]:
    return sorted(held, key=lambda one: (-one.rank, -one.ms, one.relation))


def _statement(data: dict[str, Any]) -> Statement:
    return Statement(
        **data
        | {
            "touched": [Touched(**touched) for touched in data["touched"]],
            "locks": [Lock(**lock) for lock in data["locks"]],
            "under": [Lock(**lock) for lock in data["under"]],
            "phases": [Phase(**phase) for phase in data["phases"]],
            "notices": [Notice(**notice) for notice in data.get("notices", ())],
            "awaited": [_awaited(one) for one in data.get("awaited", ())],
            "error": data["error"] and Failure(**data["error"]),
        }
    )


def _awaited(data: dict[str, Any]) -> Awaited:
    return Awaited(**data | {"blockers": [Blocker(**blocker) for blocker in data["blockers"]]})
