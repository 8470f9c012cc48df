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
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from psycopg import Connection, sql
from psycopg.errors import ObjectInUse

from migration_lab.files import content_digest, copy_all, empty, remove, write_whole
from migration_lab.server import Server, startstate
from migration_lab.workspace import Workspace

TRIES = 3
ENDED_WITHIN = 5  # seconds: a session that is ended first takes back what it has done


@dataclass(frozen=True)
class Exchange:
    """The database and the project of one place, with those that they can be exchanged for."""

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

    @contextmanager
    def settled(self) -> Iterator[None]:
        """Finish or take back what was interrupted, before the block and after it."""
        self.settle()
        try:
            yield
        finally:
            self.settle()

    def can_go_back(self) -> bool:
        with self.server.connect() as session:
            return _oid(session, self.former) is not None

    def go_back(self, start: str) -> None:
        """Exchange what is here for what was here before the last reset."""
        with startstate.patient(self.server) as session:
            self._prepare(session, start)
            self._exchange(session, self.former, self.kept if self.kept.exists() else self.project)

    def begin_anew(self, files: Path, start: str) -> None:
        """Let a new database at a start state, and these files, take the place of what is here, which is kept."""
        with startstate.patient(self.server) as session:
            self._prepare(session, start)
            startstate.create_by(session, self.server, self.coming, start)
            self._exchange(session, self.coming, files)
            startstate.drop_database(session, self.going)

    def note_start(self) -> None:
        """Note that the database is new, so that ``is_untouched`` can tell later whether it still is as it began."""
        with self.server.connect() as session:
            self.workspace.write_json(self._note, _born(session, self.database))

    def is_untouched(self) -> bool:
        """Whether nobody has written to the database since its start. Where that looks so, it is closed to be certain.

        PostgreSQL counts the rows that are written to a database, those of its catalogs too, and a session reports its
        own at its end at the latest. The counts are lost in a crash; then the answer is no.
        """
        with self.server.connect() as session:
            known: dict[str, Any] = self.workspace.read_json(self._note, {})
            if known != _born(session, self.database) or _is_written(session, self.database):
                return False
            self.moving.mkdir(parents=True, exist_ok=True)  # it tells settle() that there is something to do
            close(session, self.database)
            return not _is_written(session, self.database)

    @property
    def _note(self) -> str:
        return f"start-{self.database}.json"

    def _prepare(self, session: Connection, start: str) -> None:
        """Both sides have a database and a folder, even those of an exercise that was never opened."""
        for leftover in (self.coming, self.going):
            startstate.drop_database(session, leftover)
        self.project.mkdir(parents=True, exist_ok=True)
        if _oid(session, self.database) is None:
            startstate.create_by(session, self.server, self.database, start)

    def _exchange(self, session: Connection, coming: str, files: Path) -> None:
        copy_all(files, self.moving / "incoming")
        copy_all(self.project, self.moving / "outgoing")
        write_whole(self.moving / "becomes.json", json.dumps(_oid(session, coming)))
        for attempt in range(TRIES):
            try:
                close(session, self.database)
                self._rename(session, coming)
                break
            except ObjectInUse:  # a session that was just being opened came in
                if attempt == TRIES - 1:
                    raise
        self.settle()

    def _rename(self, session: Connection, coming: str) -> None:
        """Give the databases their names, all of them or none."""
        names = [(self.database, self.former)]
        if _oid(session, self.former) is not None:
            names.insert(0, (self.former, self.going))
        names.append((self.going if coming == self.former else coming, self.database))
        rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
        with session.transaction():
            for before, after in names:
                session.execute(rename.format(sql.Identifier(before), sql.Identifier(after)))
            _let_in(session, self.database)

    def settle(self) -> None:
        """Finish an exchange that was interrupted, or take it back; and open the database that was closed for it."""
        if not self.moving.exists():
            return
        with self.server.connect() as session:
            if _oid(session, self.database) is not None:
                _let_in(session, self.database)
            if self._begun() is not None and self._begun() == _oid(session, self.database):
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


def close(session: Connection, database: str) -> None:
    """End the sessions in a database and let none in again, however quick an application reconnects."""
    command = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false")
    session.execute(command.format(sql.Identifier(database)))
    end = """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s
        AND (usename = current_user OR (SELECT rolsuper FROM pg_roles WHERE rolname = current_user))"""
    deadline = time.monotonic() + ENDED_WITHIN
    while session.execute(end, [database]).fetchall() and time.monotonic() < deadline:
        time.sleep(0.01)


def _let_in(session: Connection, database: str) -> None:
    session.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS true").format(sql.Identifier(database)))


def _oid(session: Connection, database: str) -> int | None:
    row = session.execute("SELECT oid::int8 FROM pg_database WHERE datname = %s", [database]).fetchone()
    return row[0] if row else None


def _born(session: Connection, database: str) -> dict[str, Any]:
    """Which database it is, and since when the server counts without a break."""
    [(life,)] = session.execute("SELECT stats_reset::text FROM pg_stat_bgwriter")
    return {"database": _oid(session, database), "counting_since": life}


def _is_written(session: Connection, database: str) -> bool:
    """https://www.postgresql.org/docs/18/monitoring-stats.html#MONITORING-PG-STAT-DATABASE-VIEW"""
    [(written,)] = session.execute(
        "SELECT tup_inserted + tup_updated + tup_deleted > 0 OR stats_reset IS NOT NULL"
        " OR NOT current_setting('track_counts')::bool FROM pg_stat_database WHERE datname = %s",
        [database],
    )
    return written
