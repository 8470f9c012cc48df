"""What a command leaves without being in force, or comes across: INVALID indexes and constraints that are NOT VALID."""

from __future__ import annotations

import re

from migration_xray.trace import Leftover, Notice

from .lookout import Lookout

QUOTED = re.compile(r'"([^"]+)"')


class Leftovers:
    """Those of one database, from the command's first session there to its last."""

    def __init__(self, lookout: Lookout):
        self.before = {told[:3] for told in lookout.leftovers()}
        self.oids: set[int] = set()
        self.names: set[str] = set()

    def meet(self, oids: set[int]) -> None:
        """The command has locked these tables."""
        self.oids |= oids

    def hear(self, notices: list[Notice]) -> None:
        """The server has spoken of relations by name, for example of one that "already exists, skipping"."""
        self.names.update(name for notice in notices for name in QUOTED.findall(notice.message))

    def now(self, lookout: Lookout) -> list[Leftover]:
        """What the command has left up to now, and what was there before and is on a table that it came across."""
        told = []
        for kind, name, relation, oid, repair in lookout.leftovers():
            met = (kind, name, relation) in self.before
            spoken_of = name.rpartition(".")[2] if kind == "index" else name
            if not met or oid in self.oids or spoken_of in self.names:
                told.append(Leftover(kind, name, relation, lookout.database_name, repair, met))
        return told
