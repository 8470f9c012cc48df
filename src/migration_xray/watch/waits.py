"""What a statement of the migration waits for, and behind whom: asked of the server only while a wait is seen."""

from __future__ import annotations

import time
from datetime import datetime

from migration_xray.locks import MODES, PREPARED
from migration_xray.trace import Awaited, Blocker
from migration_xray.words import shortened

from .lookout import Look, Lookout, Wanted

AGAIN = 1.0  # seconds after which the blockers of a wait are asked for again: they may do something else by then
LONG = 1000  # ms after which a wait is announced while it goes on
SHORT = 120  # letters of a blocker's statement that are shown


class Waits:
    """The waits of one session; ``own`` has the last statement of each session of this migration, by pid."""

    def __init__(self, lookout: Lookout, own: dict[int, str]):
        self.lookout, self.own = lookout, own
        self.wanted: dict[datetime, Wanted] = {}
        self.names: dict[int, str | None] = {}
        self.blockers: dict[datetime, dict[int, Blocker]] = {}
        self.asked: dict[datetime, tuple[tuple[int, ...], float]] = {}
        self.announced: set[tuple[str, int]] = set()

    def begin(self) -> None:
        """A statement begins, and has not waited yet."""
        self.wanted, self.blockers, self.asked = {}, {}, {}

    @property
    def ms(self) -> float:
        return sum(wanted.ms for wanted in self.wanted.values())

    def account(self, look: Look) -> None:
        """Take in what a look shows."""
        for began, wanted in look.own_waits.items():
            self.wanted[began] = wanted
            pids, asked = self.asked.get(began, ((), 0.0))
            if set(pids) != set(wanted.blockers) or time.monotonic() - asked > AGAIN:
                self.asked[began] = wanted.blockers, time.monotonic()
                self.blockers.setdefault(began, {}).update(self._ask(wanted))

    def awaited(self) -> list[Awaited]:
        """What was waited for, in the order in which the waits began."""
        return [self._awaited(began) for began in sorted(self.wanted)]

    def news(self) -> list[str]:
        """Sentences about waits that have become long, one for each blocker that was not announced yet."""
        told = []
        for began in sorted(self.wanted):
            if self.wanted[began].ms < LONG:
                continue
            awaited = self._awaited(began)
            for blocker in awaited.blockers:
                if (awaited.what, blocker.pid) not in self.announced:
                    self.announced.add((awaited.what, blocker.pid))
                    told.append(f"Waiting for {awaited.what}, behind {blocker}")
        return told

    def _awaited(self, began: datetime) -> Awaited:
        wanted = self.wanted[began]
        name = self.names.get(wanted.oid) if wanted.oid is not None else None
        return Awaited(wanted.kind, name, wanted.mode, wanted.ms, list(self.blockers.get(began, {}).values()))

    def _ask(self, wanted: Wanted) -> dict[int, Blocker]:
        if wanted.oid is not None and wanted.oid not in self.names:
            self.names[wanted.oid] = self.lookout.name(wanted.oid)
        found = {pid: self._blocker(wanted, pid, *told) for pid, *told in self.lookout.blockers(wanted)}
        if PREPARED in wanted.blockers:
            found[PREPARED] = Blocker(PREPARED, None, None, None, None, None, None, own=False)
        return found

    def _blocker(
        self,
        wanted: Wanted,
        pid: int,
        user: str | None,
        name: str | None,
        state: str | None,
        transaction_ms: float | None,
        statement: str | None,
        modes: list[str],
    ) -> Blocker:
        held = [MODES[mode] for mode in modes if wanted.kind == "relation" and mode in MODES]
        conflicting = [mode for mode in held if mode.conflicts(MODES[wanted.mode])]
        strongest = max(conflicting, key=lambda mode: mode.rank, default=None)
        age = None if transaction_ms is None else max(0.0, transaction_ms)
        said = self.own.get(pid, statement)  # of its own sessions, the server has seen x-ray's question last
        holds = strongest.name if strongest else None
        return Blocker(pid, user, name, state, age, shortened(said or "", SHORT) or None, holds, pid in self.own)
