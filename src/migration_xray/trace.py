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

    ``relation`` is None where they waited for rows of a table that their locks do not tell.
    """

    relation: str | None
    sessions: int
    ms: float


@dataclass(frozen=True)
class Phase:
    """A phase of building an index, as ``pg_stat_progress_create_index`` names it, and how long it was seen."""

    name: str
    ms: float


@dataclass(frozen=True)
class Failure:
    """The server's refusal of a statement, or what else ended it (then ``sqlstate`` is None)."""

    sqlstate: str | None
    message: str


@dataclass
class Statement:
    """One statement, and what the server did for it.

    ``at`` is in seconds since the trace began, ``ms`` how long it took, and ``lock_wait_ms`` how much of that it waited
    for locks of others. ``wal_bytes`` is what the whole server wrote meanwhile, other sessions included. ``rows`` is what
    the driver counted, None where there is nothing to count; ``written`` how many of them the server says were inserted,
    updated or deleted. What a trigger, a function or a DO block writes is in neither. ``own`` is true for Alembic's own bookkeeping; ``where`` is
    the line of the migration, "0004_phone.py:21". ``built`` names indexes; ``rewrote`` and ``scanned`` tables, the
    latter read as a whole to verify a constraint. ``says`` are the server's messages. ``unseen`` is true where its locks
    were let go, at the end of a transaction of its own or by an error, before one could look at them well.
    """

    sql: str
    at: float
    ms: float = 0.0
    rows: int | None = None
    written: int = 0
    wal_bytes: int = 0
    locks: list[Lock] = field(default_factory=list)
    rewrote: list[str] = field(default_factory=list)
    scanned: list[str] = field(default_factory=list)
    built: list[str] = field(default_factory=list)
    says: list[str] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    lock_wait_ms: float = 0.0
    revision: str | None = None
    where: str | None = None
    own: bool = False
    unseen: bool = False
    error: Failure | None = None


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


@dataclass
class Trace:
    """One Alembic command, from its first session to its last. ``started`` is ``time.monotonic()`` at its beginning.

    ``error`` is the sentence that the command ended with, or None, and ``sqlstate`` PostgreSQL's code where it was the
    server that refused; ``server`` is PostgreSQL's version ("18.6"), None where the command opened no session; ``unseen``
    says what x-ray could not see, and why.
    """

    command: str
    started: float
    server: str | None = None
    error: str | None = None
    sqlstate: str | None = None
    unseen: str | None = None
    transactions: list[Transaction] = field(default_factory=list)

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
        name = relation if "." in relation else f"public.{relation}"
        return next((held for held in self.held if held.relation == name), None)

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
        return cls(started=0.0, transactions=transactions, **told)

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


def shape(sql: str) -> str:
    """A statement without its numbers: the batches of a backfill have one shape."""
    return re.sub(r"(?<![\w.])\d+(?![\w.])", "0", " ".join(sql.split()))


def worst_first(held: list[Held]) -> list[Held]:
    return sorted(held, key=lambda one: (-one.rank, -one.ms, one.relation))


def _statement(data: dict[str, Any]) -> Statement:
    return Statement(
        **data
        | {
            "locks": [Lock(**lock) for lock in data["locks"]],
            "phases": [Phase(**phase) for phase in data["phases"]],
            "error": data["error"] and Failure(**data["error"]),
        }
    )
