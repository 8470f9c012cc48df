"""What was seen of a transaction until it ended, and what that comes to: names, locks, verdicts and waits."""

from __future__ import annotations

import re
from dataclasses import dataclass

from migration_xray.locks import MODES
from migration_xray.trace import NOTEWORTHY, Held, Lock, Statement, Touched, Transaction, Waited

from .counter import Counted
from .lookout import Look, Lookout, Relation

# What PostgreSQL says of its work; src/backend/commands/tablecmds.c and catalog/index.c never translate these.
REWRITING = re.compile(r'rewriting table "(?P<table>.+)"')
VERIFYING = re.compile(r'verifying table "(?P<table>.+)"')
VALIDATING = re.compile(r'validating foreign key constraint "(?P<name>.+)"')
BUILDING = re.compile(
    r'building index "(?P<name>(?!pg_toast_).+)" on table "(?P<table>.+)" (serially|with request for)'
)
PROVEN = re.compile(r"existing constraints on column|is implied by existing constraints")
TELLING = (REWRITING, VERIFYING, VALIDATING, BUILDING, PROVEN)
REPLACING = re.compile(r"_ccnew\d*$")  # what REINDEX CONCURRENTLY calls an index until it takes the old one's place

STRONGEST = "AccessExclusiveLock"
CONCURRENT = MODES["ShareUpdateExclusiveLock"].rank


@dataclass
class Span:
    """A lock that was held: on which relation, since when and until when by monotonic seconds, from which statement on."""

    oid: int
    mode: str
    since: float
    statement: Statement
    until: float | None = None

    @property
    def rank(self) -> int:
        return MODES[self.mode].rank


class Evidence:
    """What is seen of a transaction, as long as it is open.

    ``before`` has every relation as the transaction found it, where others can see what it makes before it ends: in
    autocommit. Otherwise they are asked for as they are locked. ``own`` has the migration's sessions by pid.
    """

    def __init__(
        self, transaction: Transaction, lookout: Lookout, own: dict[int, str], before: dict[int, Relation] | None = None
    ):
        self.transaction, self.lookout, self.own, self.before = transaction, lookout, own, before
        self.relations: dict[int, Relation] = {}
        self.asked: set[int] = set()
        self.spans: list[Span] = []
        self.held: dict[tuple[int, str], Span] = {}
        self.waits: dict[tuple[int, int | None], float] = {}
        self.standing: dict[int, list[Span]] = {}  # by the id of a statement, what was held as it began
        self.touched: dict[int, Counted] = {}  # by the id of a statement, what it read and wrote

    def begin(self, statement: Statement) -> None:
        """A statement begins, under the locks that its transaction holds already."""
        self.standing[id(statement)] = list(self.held.values())

    def count(self, statement: Statement, counted: Counted) -> None:
        """Note what a statement has read and written."""
        self.touched[id(statement)] = counted
        statement.written = max(statement.written, sum(rows.written for rows in counted.values()))

    def locked(self, statement: Statement) -> set[int]:
        """The relations that were locked at some time while a statement ran."""
        return {span.oid for span in self.spans if span.statement is statement}

    def account(self, look: Look, statement: Statement, since: float) -> bool:
        """Take in what a look shows; what is new is held since then, for this statement. Returns whether anything is."""
        new = look.held.keys() - self.held.keys()
        for oid, mode in new:
            self.held[oid, mode] = Span(oid, mode, max(since, look.held[oid, mode]), statement)
            self.spans.append(self.held[oid, mode])
        for key in self.held.keys() - look.held.keys():
            self.held.pop(key).until = look.began
        self._know({oid for oid, _ in new})
        self.account_waits(look)
        return bool(new)

    def forget(self, statement: Statement) -> None:
        """Tell of no lock that came with this statement."""
        self.spans = [span for span in self.spans if span.statement is not statement]

    def account_waits(self, look: Look) -> None:
        for key, ms in look.waits.items():
            self.waits[key] = max(self.waits.get(key, 0.0), ms)
        self._know({oid for _, oid in look.waits if oid is not None})

    def _know(self, oids: set[int]) -> None:
        """Note names and files as others see them: what this transaction itself made has none yet."""
        if new := oids - self.asked:
            self.asked |= new
            if self.before is None:
                self.relations |= self.lookout.relations(new)
            else:
                self.relations |= {oid: self.before[oid] for oid in new & self.before.keys()}

    def judge(self, now: float) -> None:
        """The transaction is over: note its locks, waits and verdicts in it and in its statements."""
        oids = {span.oid for span in self.spans}
        after = self.lookout.relations(oids)
        self._judge_locks(after, now)
        self._judge_rows()
        self._judge_waits()
        names = _Names(self.relations, after)
        for statement in self.transaction.statements:
            locked = self.locked(statement)
            for said in statement.says:
                self._judge_words(statement, said, names, locked)
        self._judge_files(after)

    def _judge_locks(self, after: dict[int, Relation], now: float) -> None:
        order = {id(statement): number for number, statement in enumerate(self.transaction.statements)}
        held: dict[int, tuple[tuple[int, int, str], Held]] = {}
        told: dict[int, Lock] = {}
        for span in self.spans:
            relation = self.relations.get(span.oid)
            if relation is None:
                continue  # new with this transaction: nobody else can be waiting for it
            if not relation.is_table and self._goes_without_saying(span, relation, after):
                continue
            lock = Lock(relation.qualified, span.mode)
            told[id(span)] = lock
            if lock not in span.statement.locks:
                span.statement.locks.append(lock)
            ms = ((span.until or now) - span.since) * 1000
            worst = (-span.rank, order.get(id(span.statement), 0), relation.qualified)
            if span.oid not in held or (-span.rank, -ms) < (held[span.oid][0][0], -held[span.oid][1].ms):
                held[span.oid] = worst, Held(relation.qualified, span.mode, ms, MODES[span.mode].blocks)
        for statement in self.transaction.statements:
            statement.locks.sort(key=lambda lock: (-MODES[lock.mode].rank, lock.relation))
            spans = self.standing.get(id(statement), []) + [span for span in self.spans if span.statement is statement]
            locks = {told[id(span)] for span in spans if id(span) in told}
            strongest = {lock.relation: lock for lock in sorted(locks, key=lambda lock: MODES[lock.mode].rank)}
            statement.under = sorted(strongest.values(), key=lambda lock: (-MODES[lock.mode].rank, lock.relation))
        self.transaction.held = [one for _, one in sorted(held.values(), key=lambda pair: pair[0])]

    def _judge_rows(self) -> None:
        for statement in self.transaction.statements:
            for oid, rows in self.touched.get(id(statement), {}).items():
                name = self.relations[oid].qualified if oid in self.relations else rows.name
                statement.touched.append(Touched(name, rows.read, rows.inserted, rows.updated, rows.deleted))
            statement.touched.sort(key=lambda one: one.relation)

    def _goes_without_saying(self, span: Span, relation: Relation, after: dict[int, Relation]) -> bool:
        """Whether a lock on an index or a sequence is a weak one, or comes with one on its table that is as strong.

        DROP INDEX and REINDEX with CONCURRENTLY lock an index most strongly when nobody can see it any more.
        """
        on_table = max((other.rank for other in self.spans if other.oid == relation.part_of), default=0)
        dropped_unseen = self.before is not None and relation.oid not in after and on_table == CONCURRENT
        return relation.kind not in "iIS" or span.rank < NOTEWORTHY or on_table >= span.rank or dropped_unseen

    def _judge_waits(self) -> None:
        waits: dict[str | None, dict[int, float]] = {}
        for (pid, oid), ms in self.waits.items():
            name = self.relations[oid].qualified if oid in self.relations else None
            times = waits.setdefault(name, {})
            times[pid] = max(ms, times.get(pid, 0.0))
        waited = [
            Waited(name, len(times), max(times.values()), own=len(times.keys() & self.own.keys()))
            for name, times in waits.items()
        ]
        self.transaction.waited = sorted(waited, key=lambda one: -one.ms)

    def _judge_words(self, statement: Statement, said: str, names: _Names, locked: set[int]) -> None:
        def table(name: str) -> str:
            # Outside of a transaction, the lock that tells which table it is may be gone before one could look at it.
            fits = [] if statement.unseen else names.tables(name, locked)
            fits = fits or self.lookout.tables_called(name)
            return fits[0] if len(fits) == 1 else name

        if match := REWRITING.match(said):
            _add(statement.rewrote, table(match["table"]))
        elif match := VERIFYING.match(said):
            _add(statement.scanned, table(match["table"]))
        elif match := BUILDING.match(said):
            schema = table(match["table"]).rpartition(".")[0]
            index = match["name"] if names.remains(match["name"]) else REPLACING.sub("", match["name"])
            if statement.error:
                self._judge_failed_build(statement, schema, match["name"])
            else:
                _add(statement.built, f"{schema}.{index}" if schema else index)
        elif match := VALIDATING.match(said):
            keys = self.lookout.foreign_keys(match["name"], {span.oid for span in self.spans})
            keys = [key for key in keys if key[0] in locked] or keys
            # Rolled back, the key is in no catalog any more; its two tables are those that its statement locked.
            for oid in names.scanned(keys) if keys else sorted(locked):
                if (relation := names.known.get(oid)) and relation.is_table:
                    _add(statement.scanned, relation.qualified)

    def _judge_failed_build(self, statement: Statement, schema: str, name: str) -> None:
        """The server said that it builds an index, and failed: what was built goes, but for what CONCURRENTLY leaves."""
        indexes = {one[1] for one in self.lookout.leftovers() if one[0] == "index"}
        index = f"{schema}.{name}" if schema else name
        if index in indexes:
            _add(statement.left_invalid, index)
        else:
            index = REPLACING.sub("", index)
        _add(statement.unbuilt, index)

    def _judge_files(self, after: dict[int, Relation]) -> None:
        """A table that stands in another file now was rewritten, whatever was said; but TRUNCATE only begins an empty one.

        What CLUSTER, VACUUM FULL and REFRESH copy rows into is a table of its own, gone when they end.
        """
        told = {name for statement in self.transaction.statements for name in statement.rewrote}
        moved = [
            (before, after[oid])
            for oid, before in self.relations.items()
            if oid in after and before.kind in "rm" and before.file != after[oid].file and before.qualified not in told
        ]
        if not moved:
            return
        existing = self.lookout.existing({span.oid for span in self.spans}) | self.relations.keys()
        strong = [span for span in self.spans if span.mode == STRONGEST]
        locked_by = {span.oid: span.statement for span in reversed(strong)}  # the first that did
        copying = {
            id(span.statement): span.statement
            for span in strong
            if span.oid not in existing and not span.statement.rewrote
        }
        explained = {id(locked_by.get(now.oid)) for _, now in moved}
        for before, now in moved:
            by = locked_by.get(now.oid)
            if by is not None and id(by) not in copying and before.tablespace == now.tablespace:
                by = next((one for key, one in copying.items() if key not in explained and one.at > by.at), None)
            if by is not None:
                _add(by.rewrote, before.qualified)


class _Names:
    """Relations by oid, as they were before the transaction or, where it made them, after; and which one a message means.

    A message gives a name without its schema, and maybe one that the transaction gave or took.
    """

    def __init__(self, before: dict[int, Relation], after: dict[int, Relation]):
        self.known, self.after = after | before, {relation.name for relation in after.values()}
        self.called: dict[str, set[int]] = {}
        for oid, relation in [*before.items(), *after.items()]:
            self.called.setdefault(relation.name, set()).add(oid)

    def remains(self, name: str) -> bool:
        return name in self.after

    def scanned(self, keys: list[tuple[int, int]]) -> list[int]:
        """The tables of a foreign key that is given with those of its partitions, which stand for a partitioned one."""
        referencing = [oid for oid, _ in keys]
        partitions = [oid for oid in referencing if oid in self.known and self.known[oid].kind != "p"]
        return (partitions or referencing) + [oid for _, oid in keys]

    def tables(self, name: str, locked: set[int]) -> list[str]:
        """The tables that may be meant: those that the statement was the first to lock, else any of the transaction's."""
        fits = {oid for oid in self.called.get(name, ()) if self.known[oid].is_table}
        return [self.known[oid].qualified for oid in fits & locked or fits]


def _add(names: list[str], name: str) -> None:
    if name not in names:
        names.append(name)
