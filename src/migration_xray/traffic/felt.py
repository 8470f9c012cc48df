"""What the application felt of what went on beside it, as data: a sample for each of its statements."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from migration_xray.errors import needing
from migration_xray.trace import Trace
from migration_xray.words import milliseconds

if TYPE_CHECKING:
    import pandas

NOUNS = {"read": "reader", "write": "writer", "insert": "inserter"}  # what a session of each kind is called


class Sample(NamedTuple):
    """A statement of the application: ``at`` in seconds since the traffic began, ``ms`` until it was answered.

    Where it was not ``answered``, ``ms`` is how long it had been waiting when the traffic was given up.
    ``kind`` is "read", "write" or "insert"; ``app`` the application's version, None where it was derived from the table.
    ``error`` is the SQLSTATE of the refusal that answered it, ``message`` PostgreSQL's sentence; else None.
    """

    at: float
    session: str
    kind: str
    app: str | None
    ms: float
    error: str | None
    message: str | None
    answered: bool = True


class Band(NamedTuple):
    """A statement of a migration: ``at`` in seconds since the traffic began, and of its ``ms`` how long it waited for locks.

    ``until`` is when its transaction ended, ``failed`` whether the server refused it.
    """

    at: float
    ms: float
    sql: str
    until: float
    waited_ms: float = 0.0
    failed: bool = False

    @property
    def end(self) -> float:
        return self.at + self.ms / 1000


class Refusal(NamedTuple):
    """A kind of error that the application met: PostgreSQL's sentence is the first of them in the alphabet."""

    app: str | None
    sqlstate: str
    message: str
    times: int

    def __str__(self) -> str:
        by = f" by {self.app}" if self.app else ""
        return f"{self.sqlstate} ×{self.times:,}{by} ({self.message})"


@dataclass(frozen=True)
class Felt:
    """What the application felt.

    ``sessions`` are the names, as in pg_stat_activity's application_name, with each one's kind and version; ``traces``
    are what x-ray saw meanwhile; ``waiting`` are the sessions that were given up while they still waited for an answer;
    ``left`` is why rows that the traffic had inserted could not be deleted, or None.
    """

    table: str
    sessions: dict[str, tuple[str, str | None]]
    rate: int
    seconds: float
    samples: list[Sample] = field(repr=False)
    bands: list[Band] = field(default_factory=list)
    traces: tuple[Trace, ...] = field(default=(), repr=False)
    waiting: tuple[str, ...] = ()
    left: str | None = None

    @property
    def worst_read_ms(self) -> float:
        """The longest that a read took to be answered, be it by an error; 0 where there were none."""
        return max(self.times("read"), default=0.0)

    @property
    def worst_write_ms(self) -> float:
        """The longest that an UPDATE or an INSERT took to be answered, be it by an error; 0 where there were none."""
        return max(self.times("write", "insert"), default=0.0)

    @property
    def errors(self) -> dict[str, int]:
        """How often the application met each SQLSTATE."""
        return dict(sorted(Counter(sample.error for sample in self.samples if sample.error).items()))

    @property
    def refusals(self) -> list[Refusal]:
        """The errors by version of the application and SQLSTATE."""
        return refusals(self.samples)

    @property
    def achieved(self) -> float:
        """The part of the timetable that was kept: 1.0, or less where sessions still waited or lagged behind in the end."""
        answered = sum(sample.answered for sample in self.samples)
        return answered / (self.rate * self.seconds * len(self.sessions))

    def times(self, *kinds: str) -> list[float]:
        """The milliseconds of every statement of these kinds."""
        return [sample.ms for sample in self.samples if sample.kind in kinds]

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and lists, ready for JSON. What a session's samples have in common is told once, in ``sessions``."""
        samples: dict[str, list[Any]] = {name: [] for name in self.sessions}
        for one in self.samples:
            samples[one.session].append([one.at, one.ms, one.error, one.message, one.answered])
        return vars(self) | {"samples": samples, "traces": [trace.to_dict() for trace in self.traces]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Felt:
        """What :meth:`to_dict` gave, also after a journey through JSON."""
        sessions = {name: (kind, app) for name, (kind, app) in data["sessions"].items()}
        samples = [
            Sample(at, name, *sessions[name], ms, error, message, answered)
            for name, told in data["samples"].items()
            for at, ms, error, message, answered in told
        ]
        made = {
            "sessions": sessions,
            "samples": samples,
            "bands": [Band(*band) for band in data["bands"]],
            "traces": tuple(map(Trace.from_dict, data["traces"])),
            "waiting": tuple(data["waiting"]),
        }
        return cls(**data | made)

    def to_frame(self) -> pandas.DataFrame:
        """One row for each statement of the application, with a Sample's fields, in the order of time."""
        with needing("A data frame", "pip install pandas"):
            import pandas

        return pandas.DataFrame(sorted(self.samples), columns=list(Sample._fields))

    def __str__(self) -> str:
        stalls = [
            f"longest {noun} stall {milliseconds(worst)}"
            for noun, worst in (("read", self.worst_read_ms), ("write", self.worst_write_ms))
            if worst
        ]
        said = ", ".join(stalls) or "no statement was answered"
        if self.waiting:
            kinds = sorted({f"{NOUNS[self.sessions[name][0]]}s" for name in self.waiting})
            said += f", where {' and '.join(kinds)} still waited when the traffic ended"
        said += f"; errors: {', '.join(map(str, self.refusals))}." if self.refusals else "; no errors."
        if self.left:
            said += f" The rows that the traffic inserted are still there: {self.left}."
        return said[0].upper() + said[1:]


def refusals(samples: Iterable[Sample]) -> list[Refusal]:
    """The errors among an application's statements, by its version and SQLSTATE."""
    kinds: dict[tuple[str | None, str], list[str]] = {}
    for sample in samples:
        if sample.error:
            kinds.setdefault((sample.app, sample.error), []).append(sample.message or "")
    told = [Refusal(*kind, min(messages), len(messages)) for kind, messages in kinds.items()]
    return sorted(told, key=lambda refusal: (refusal.app or "", refusal.sqlstate))


def bands(traces: Iterable[Trace], started: float) -> list[Band]:
    """The statements of migrations, but for Alembic's own; ``started`` is when the traffic began, by ``time.monotonic()``."""
    told = []
    for trace in traces:
        since = trace.started - started
        for transaction in trace.transactions:
            until = since + transaction.at + transaction.ms / 1000
            for one in transaction.statements:
                at, failed = since + one.at, one.error is not None
                if not one.own:
                    told.append(Band(at, one.ms, one.sql, max(until, at + one.ms / 1000), one.lock_wait_ms, failed))
    return told
