"""PostgreSQL's table locks: each mode's name as ``pg_locks`` has it, how strong it is, and what it stops others from.

https://www.postgresql.org/docs/18/explicit-locking.html#LOCKING-TABLES
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mode:
    """A mode of locking a table.

    ``rank`` orders the modes as PostgreSQL does, 1 the weakest; ``blocks`` is what other sessions can't do meanwhile,
    in the words of somebody who reads and writes rows and now and then changes the schema. It conflicts with the mode
    of rank ``against`` and the stronger ones.
    """

    name: str
    rank: int
    blocks: str
    against: int

    def conflicts(self, other: Mode) -> bool:
        """Whether two sessions can't have these modes on one table at the same time."""
        both_share = self.name == other.name == "ShareLock"  # stronger than modes that conflict with themselves
        return other.rank >= self.against and not both_share


MODES: dict[str, Mode] = {
    mode.name: mode
    for mode in (
        Mode("AccessShareLock", 1, "nothing but schema changes", 8),  # SELECT
        Mode("RowShareLock", 2, "nothing but schema changes", 7),  # SELECT … FOR UPDATE
        Mode("RowExclusiveLock", 3, "nothing but schema changes", 5),  # INSERT, UPDATE, DELETE
        Mode("ShareUpdateExclusiveLock", 4, "other schema changes", 4),  # CREATE INDEX CONCURRENTLY, VALIDATE, VACUUM
        Mode("ShareLock", 5, "writes", 3),  # CREATE INDEX
        Mode("ShareRowExclusiveLock", 6, "writes", 3),  # a foreign key, on both its tables
        Mode("ExclusiveLock", 7, "writes", 2),  # REFRESH MATERIALIZED VIEW CONCURRENTLY
        Mode("AccessExclusiveLock", 8, "reads and writes", 1),  # most of ALTER TABLE, DROP TABLE
    )
}
