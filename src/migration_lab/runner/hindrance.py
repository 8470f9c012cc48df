"""Which statements of a migration somebody's transaction stands in the way of: data that goes to the worker and back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


A_WRITERS = "ROW EXCLUSIVE"
AN_INDEXS = "SHARE ROW EXCLUSIVE"


@dataclass
class Met:
    """A statement that had to wait for somebody's transaction.

    ``where`` is the line of the migration, "0004_phone.py:21", or None where env.py sent it. ``timed_out`` is false where it
    waited until the transaction was over, and went through.
    """

    where: str | None
    sql: str
    timed_out: bool = False


@dataclass
class Hindrance:
    """On which relations, by oid, somebody's transaction stands in the way of each statement once.

    It has a lock of this ``mode`` on them: A_WRITERS is in the way of strong locks, and AN_INDEXS, which a plain CREATE INDEX
    takes, in the way of those who write rows, too. The statements that have ``met`` it get through from then on. A command
    that runs with it adds its own.
    """

    relations: list[int]
    mode: str = A_WRITERS
    met: list[Met] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts and lists, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Hindrance:
        """What :meth:`to_dict` gave, also after a journey through JSON."""
        return cls(data["relations"], data["mode"], [Met(**one) for one in data["met"]])
