"""What a migration cost the server, as a few figures that can be compared with those of another migration."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from migration_xray.trace import Trace
from migration_xray.words import bare, listed

EXCLUSIVE = "AccessExclusiveLock"
# A time or an amount of WAL differs a little from run to run. Two of the same class are as good as each other.
CLASSES_OF_MS = (500, 2_000, 10_000)
CLASSES_OF_WAL = (1_000_000, 10_000_000, 100_000_000)  # bytes
CHANCE_MS, CHANCE_WAL = 200, 1_000_000  # a smaller difference may be that of two runs
MEASURES = ("ACCESS EXCLUSIVE held", "rows written", "WAL written", "scanned", "rewritten or built", "revisions")
ORDER = (
    "Best first: the shortest time with ACCESS EXCLUSIVE (in steps: none, under 0.5 s, under 2 s, under 10 s, longer), "
    "then the fewest rows written, the least WAL (in steps: under 1 MB, under 10 MB, under 100 MB, more), the fewest "
    "scans, the fewest rewrites and builds, the fewest revisions."
)


@dataclass(frozen=True)
class Costs:
    """The figures of one command.

    ``exclusive_ms`` is how long a table was locked with ACCESS EXCLUSIVE; where a transaction locked several, the longest of
    them counts. ``rows`` is how many rows statements inserted, updated or deleted, triggers, functions and DO blocks
    included. ``wal_bytes`` is what the whole server wrote meanwhile. ``scanned`` names a table once for each time that it was read as a whole to verify a constraint;
    ``rewrote`` tables and ``built`` indexes in the same way. ``revisions`` is how many revisions ran statements.
    """

    exclusive_ms: float
    rows: int
    wal_bytes: int
    scanned: tuple[str, ...]
    rewrote: tuple[str, ...]
    built: tuple[str, ...]
    revisions: int

    @property
    def score(self) -> tuple[int, ...]:
        """What to sort by, the best first. Times and WAL count by their class."""
        ms, wal = self.exclusive_ms, self.wal_bytes
        return (
            bisect_right(CLASSES_OF_MS, ms) + 1 if ms else 0,
            self.rows,
            bisect_right(CLASSES_OF_WAL, wal),
            len(self.scanned),
            len(self.rewrote) + len(self.built),
            self.revisions,
        )

    def figures(self) -> list[str]:
        """One text for each of MEASURES. What varies from run to run is rounded."""
        work = [f"rewrote {_named(self.rewrote)}"] if self.rewrote else []
        work += [f"built {_named(self.built)}"] if self.built else []
        return [
            roughly_ms(self.exclusive_ms),
            f"{self.rows:,}" if self.rows else "none",
            roughly_megabytes(self.wal_bytes),
            _named(self.scanned) or "none",
            "; ".join(work) or "none",
            str(self.revisions),
        ]

    def differences(self, other: Costs) -> list[str]:
        """For each of MEASURES, whether this is less or more than the other. What may be chance is no difference."""
        exact = [
            _compared(mine, others) for mine, others in zip(self._counts(), other._counts(), strict=True)
        ]  # rows, scans, rewrites and builds, revisions
        time = _roughly_compared(self.exclusive_ms, other.exclusive_ms, CHANCE_MS)
        wal = _roughly_compared(self.wal_bytes, other.wal_bytes, CHANCE_WAL)
        return [time, exact[0], wal, *exact[1:]]

    def _counts(self) -> tuple[int, ...]:
        return self.rows, len(self.scanned), len(self.rewrote) + len(self.built), self.revisions

    def to_dict(self) -> dict[str, Any]:
        """A plain dict, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Any) -> Costs | None:
        """The costs that :meth:`to_dict` gave, also after a journey through JSON; None where it did not give this."""
        try:
            ms, rows, wal, revisions = (data[name] for name in ("exclusive_ms", "rows", "wal_bytes", "revisions"))
            scanned, rewrote, built = (tuple(map(str, data[name])) for name in ("scanned", "rewrote", "built"))
            return cls(float(ms), int(rows), int(wal), scanned, rewrote, built, int(revisions))
        except (KeyError, TypeError, ValueError):
            return None


def costs(trace: Trace) -> Costs:
    """What a command cost, Alembic's own bookkeeping left out. What was rolled back has cost its time, and counts."""
    statements = trace.statements
    longest = [
        max((held.ms for held in transaction.held if held.mode == EXCLUSIVE), default=0.0)
        for transaction in trace.transactions
    ]
    return Costs(
        exclusive_ms=sum(longest),
        rows=sum(statement.written for statement in statements),
        wal_bytes=sum(statement.wal_bytes for statement in statements),
        scanned=tuple(name for statement in statements for name in statement.scanned),
        rewrote=tuple(name for statement in statements for name in statement.rewrote),
        built=tuple(name for statement in statements for name in statement.built),
        revisions=len({name for transaction in trace.transactions for name in transaction.revisions}),
    )


def roughly_ms(ms: float) -> str:
    """A time that is no more exact than the next run would confirm."""
    if ms < 10:
        return "under 10 ms" if ms else "none"
    if ms < 1_000:
        return f"about {float(f'{ms:.0e}'):,.0f} ms"
    return f"about {ms / 1_000:,.1f} s"


def roughly_megabytes(count: int) -> str:
    """An amount of WAL that is no more exact than the next run would confirm."""
    megabytes = count / 1_000_000
    if megabytes < 0.1:
        return "under 0.1 MB"
    return f"about {megabytes:,.0f} MB" if megabytes >= 10 else f"about {megabytes:.1f} MB"


def _named(relations: Sequence[str]) -> str:
    counted = Counter(map(bare, relations))
    return listed(name if times == 1 else f"{name} ({times} times)" for name, times in counted.items())


def _compared(mine: float, others: float) -> str:
    return "the same" if mine == others else "less" if mine < others else "more"


def _roughly_compared(mine: float, others: float, chance: float) -> str:
    """Whether one is at least twice the other, and the difference is larger than chance makes it."""
    smaller, larger = sorted((mine, others))
    if larger - smaller < chance or larger < 2 * smaller:
        return "no real difference"
    return _compared(mine, others)
