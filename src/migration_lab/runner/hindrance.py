"""Which statements of a migration somebody's transaction stands in the way of: data that goes to the worker and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

# What somebody may have of a table: a reader's lock and a writer's are in the way of strong ones, and a plain CREATE INDEX's
# is in the way of those who write rows, too.
A_READERS = "ACCESS SHARE"
A_WRITERS = "ROW EXCLUSIVE"
AN_INDEXS = "SHARE ROW EXCLUSIVE"


@dataclass
class Met:
    """A statement that had to wait for somebody's transaction.

    ``where`` is the line of the migration, "0004_phone.py:21", or None where env.py sent it. ``timed_out`` is false where it
    waited until the transaction was over, and went through. ``endless`` is true where that was a wait for a lock that others
    queue behind, and the migration had switched off what would have ended it.
    """

    where: str | None
    sql: str
    timed_out: bool = False
    endless: bool = False


@dataclass
class Hindrance:
    """On which relations, by oid, somebody's transaction stands in the way of a command, and with which lock.

    It comes right before a statement that asks for a stronger lock. Without ``stays`` it comes before each of those, so many
    ``times``, and the statement times out soon. With it, it comes once, is there for so many seconds after the statement began
    to wait, and the command's own ``lock_timeout`` counts. It passes over the statements that have ``met`` it before; those of
    a command are added.
    """

    relations: list[int]
    mode: str = A_WRITERS
    stays: float | None = None
    times: int = 1
    met: list[Met] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and lists, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Hindrance:
        """What :meth:`to_dict` gave, also after a journey through JSON."""
        return cls(**data | {"met": [Met(**one) for one in data["met"]]})
