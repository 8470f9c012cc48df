"""What a reset has replaced: a place's database and files from before, kept until the next reset.

The former database is called ``former_`` and the database's name, and is closed to sessions. The former files are in
``.lab/former/NAME``. A reset lets a new database and the first files take their place, and a way back exchanges the two.

An exchange has a half on the server and a half on the disk, and a computer may be switched off between them. So both are
prepared first, while nothing has changed yet: ``.lab/moving/NAME/incoming`` has the files that the project gets,
``outgoing`` those that it has, and ``becomes.json`` the database that is to take the place's name. Then the databases
change their names in one transaction. If it succeeded, ``settle`` finishes the files; otherwise everything is as it was.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import Connection, Error, sql
from psycopg.errors import ObjectInUse

from migration_lab.files import content_digest, copy_all, empty, remove, write_whole
from migration_lab.server import Server, startstate
from migration_lab.workspace import Workspace
from migration_xray.errors import UserError

TRIES = 3
ENDED_WITHIN = 5  # seconds: a session that is ended first takes back what it has done


@dataclass(frozen=True)
class Exchange:
    """The database and the project of one place, with those that they can be exchanged for; and a session for that."""

    session: Connection
    server: Server
    database: str
    project: Path
    workspace: Workspace

    @property
    def former(self) -> str:
        return f"former_{self.database}"

    @property
    def coming(self) -> str:
        """The database of a reset that is under way."""
        return f"coming_{self.database}"

    @property
    def going(self) -> str:
        """The database that was the former one, until the reset that is under way."""
        return f"going_{self.database}"

    @property
    def kept(self) -> Path:
        return self.workspace.state / "former" / self.database

    @property
    def moving(self) -> Path:
        return self.workspace.state / "moving" / self.database

    def is_there(self) -> bool:
        return self._oid(self.database) is not None

    def can_go_back(self) -> bool:
        return self._oid(self.former) is not None

    def go_back(self, start: str) -> None:
        """Exchange what is here for what was here before the last reset."""
        self._prepare(start)
        self._exchange(self.former, self.kept if self.kept.exists() else self.project)

    def begin_anew(self, files: Path, start: str) -> None:
        """Let a new database at a start state, and these files, take the place of what is here, which is kept."""
        self._prepare(start)
        startstate.create_by(self.session, self.server, self.coming, start)
        self._exchange(self.coming, files)
        # Nobody has to wait for this: the server first writes all of the new database to the disk.
        threading.Thread(target=_drop, args=(self.server, self.going), name=f"drop {self.going}").start()

    @property
    def measured(self) -> Path:
        """The folder of what cells have measured in the database. The OID in its name stays with the database, so an
        exchange of the databases exchanges these folders too.
        """
        return self._all_measured / str(self._oid(self.database))

    @property
    def _all_measured(self) -> Path:
        return self.workspace.state / "measured" / self.database

    def note_start(self) -> None:
        """Note that the database is new, so that ``is_untouched`` can tell later whether it still is as it began.

        Nothing is measured in it yet. What was measured in the former database is kept, and in earlier ones it is not.
        """
        self.workspace.write_json(self._note, self._born())
        kept = str(self._oid(self.former))
        for folder in self._all_measured.glob("*"):
            if folder.name != kept:
                remove(folder)

    def is_untouched(self) -> bool:
        """Whether nobody has written to the database since its start. Where that looks so, it is closed to be certain.

        PostgreSQL counts the rows that are written to a database, those of its catalogs too, and a session reports its
        own at its end at the latest. The counts are lost in a crash; then the answer is no.
        """
        known: dict[str, Any] = self.workspace.read_json(self._note, {})
        if known != self._born() or self._is_written():
            return False
        self.moving.mkdir(parents=True, exist_ok=True)  # it tells settle() that there is something to do
        self._close()
        return not self._is_written()

    @property
    def _note(self) -> str:
        return f"start-{self.database}.json"

    def _prepare(self, start: str) -> None:
        """Both sides have a database and a folder, even those of an exercise that was never opened."""
        for leftover in (self.coming, self.going):
            startstate.drop_database(self.session, leftover)
        self.project.mkdir(parents=True, exist_ok=True)
        if not self.is_there():
            startstate.create_by(self.session, self.server, self.database, start)

    def _exchange(self, coming: str, files: Path) -> None:
        copy_all(files, self.moving / "incoming")
        copy_all(self.project, self.moving / "outgoing")
        write_whole(self.moving / "becomes.json", json.dumps(self._oid(coming)))
        for attempt in range(TRIES):
            try:
                self._close()
                self._rename(coming)
                break
            except ObjectInUse:  # a session that was just being opened came in
                if attempt == TRIES - 1:
                    raise
        self.settle()

    def _rename(self, coming: str) -> None:
        """Give the databases their names, all of them or none."""
        names = [(self.database, self.former)]
        if self.can_go_back():
            names.insert(0, (self.former, self.going))
        names.append((self.going if coming == self.former else coming, self.database))
        rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
        with self.session.transaction():
            for before, after in names:
                self.session.execute(rename.format(sql.Identifier(before), sql.Identifier(after)))
            self._allow_connections(True)

    def settle(self) -> None:
        """Finish an exchange that was interrupted, or take it back; and open the database that was closed for it."""
        if not self.moving.exists():
            return
        if self.is_there():
            self._allow_connections(True)
            if self._begun() == self._oid(self.database):
                self._finish_files()
        remove(self.moving)

    def _begun(self) -> int | None:
        """The database that is to take the place's name, if an exchange has got that far."""
        note = self.moving / "becomes.json"
        return json.loads(note.read_text(encoding="utf-8")) if note.exists() else None

    def _finish_files(self) -> None:
        """The project gets what comes in, and what goes out is kept. Where this was interrupted, it is done once more."""
        incoming, outgoing = self.moving / "incoming", self.moving / "outgoing"
        if not outgoing.exists():  # it is kept already, and that is the last step
            return
        self.project.mkdir(parents=True, exist_ok=True)
        if content_digest(self.project) not in (content_digest(incoming), content_digest(outgoing)):
            self.workspace.back_up(self.project)  # somebody has written in it since
        empty(self.project)
        copy_all(incoming, self.project)
        remove(self.kept)
        self.kept.parent.mkdir(exist_ok=True)
        outgoing.rename(self.kept)

    def _close(self) -> None:
        """End the sessions in the database and let none in again, however quick an application reconnects."""
        self._allow_connections(False)
        end = """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s
            AND (usename = current_user OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user))"""
        deadline = time.monotonic() + ENDED_WITHIN
        while self.session.execute(end, [self.database]).fetchall() and time.monotonic() < deadline:
            time.sleep(0.01)

    def _allow_connections(self, allowed: bool) -> None:
        command = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        self.session.execute(command.format(sql.Identifier(self.database), sql.Literal(allowed)))

    def _oid(self, database: str) -> int | None:
        row = self.session.execute("SELECT oid::int8 FROM pg_database WHERE datname = %s", [database]).fetchone()
        return row[0] if row else None

    def _born(self) -> dict[str, Any]:
        """Which database it is, and since when the server counts without a break."""
        [(life,)] = self.session.execute("SELECT stats_reset::text FROM pg_stat_bgwriter")
        return {"database": self._oid(self.database), "counting_since": life}

    def _is_written(self) -> bool:
        """https://www.postgresql.org/docs/18/monitoring-stats.html#MONITORING-PG-STAT-DATABASE-VIEW"""
        [(written,)] = self.session.execute(
            "SELECT tup_inserted + tup_updated + tup_deleted > 0 OR stats_reset IS NOT NULL"
            " OR NOT current_setting('track_counts')::bool FROM pg_stat_database WHERE datname = %s",
            [self.database],
        )
        return written


@contextmanager
def exchange(server: Server, database: str, project: Path, workspace: Workspace) -> Iterator[Exchange]:
    """An Exchange for one place. What was interrupted is finished or taken back, before the block and after it."""
    with startstate.patient(server) as session:
        one = Exchange(session, server, database, project, workspace)
        one.settle()
        try:
            yield one
        finally:
            one.settle()


def _drop(running: Server, database: str) -> None:
    """Drop a database that nobody needs any more. Where the server refuses, it is left to the next reset."""
    with suppress(UserError, Error), startstate.patient(running) as session:
        startstate.drop_database(session, database)
