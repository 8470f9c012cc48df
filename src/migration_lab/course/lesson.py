"""Open and reset a place to work: a lesson's, or an exercise's, own database and Alembic project."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy import URL

from migration_lab.files import content_digest, copy_into, write_whole
from migration_lab.server import Server, environment, search_path, server, startstate
from migration_lab.workspace import Workspace

from .manifest import Exercise, Lesson


@dataclass(frozen=True)
class Opened:
    """A lesson or an exercise that is open: where its database and its files are."""

    place: Lesson | Exercise
    workspace: Workspace
    server: Server
    project: Path
    database: str
    revision: str | None
    saved: Path | None = None
    is_new: bool = False  # its database was made by this opening

    @property
    def url(self) -> URL:
        return self.server.database_url(self.database)

    def __str__(self) -> str:
        lines = [
            f"Server    {self.server}",
            f"Database  {self.database}",
            f"Revision  {self.revision or 'none yet'}",
            self.saved_line,
        ]
        return "\n".join(filter(None, lines))

    @property
    def saved_line(self) -> str:
        """Where the learner's files were saved; empty if none had to be."""
        if self.saved is None:
            return ""
        return f"Your files were saved in {self.saved.relative_to(self.workspace.path).as_posix()}"

    def variables(self) -> dict[str, str]:
        """The environment in which psql, alembic and lab, started by anything, mean this place."""
        return environment(self.url) | {
            "PATH": search_path(self.workspace),
            "PYTHONDONTWRITEBYTECODE": "1",  # a revision written again within the second must not run from a stale cache
            "LAB_PLACE": self.place.place,
            "LAB_WORK": str(self.workspace.path),  # a relative one would mean another folder from the project
        }


def open_place(place: Lesson | Exercise, reset: bool = False, workspace: Workspace | None = None) -> Opened:
    """Open a place: make what is not there yet and keep what is.

    With ``reset`` its database and its files go back to the start, however many sessions are in the database;
    the learner's files are first saved under ``work/backups/``.
    """
    workspace = workspace or Workspace()
    running = server(workspace=workspace)
    database = database_name(place.place, running, workspace)
    project = workspace.project(place.place)
    with workspace.locked(place.place):
        saved = lay_files(place, project, reset, workspace)
        is_new = reset or not database_exists(running, database)
        if is_new:
            startstate.create_database(running, database, place.start)
    return Opened(place, workspace, running, project, database, revision(running, database), saved, is_new)


def database_name(place: str, running: Server, workspace: Workspace) -> str:
    """The name of a place's database. A server that others may share gets the workspace's tag in it."""
    return place if running.kind == "embedded" else f"{place}_{workspace.tag}"


def lay_files(place: Lesson | Exercise, project: Path, reset: bool, workspace: Workspace) -> Path | None:
    """Give a place its files; with ``reset`` its first ones. Returns where the learner's were saved, if they were.

    Files of an earlier version of the course give way to today's where nobody has touched them. The folder itself
    stays the same one: another kernel or a terminal may be working in it.
    """
    marker = project / ".laid"
    with tempfile.TemporaryDirectory() as folder:
        start = Path(folder) / "start"
        lay_start(start, place)
        newest = content_digest(start)
        laid = marker.read_text(encoding="utf-8") if marker.exists() else None
        mine = content_digest(project) if project.exists() else None
        if laid is not None and not reset and (laid == newest or mine != laid):
            return None
        saved = workspace.back_up(project) if mine not in (None, laid, newest) else None
        if project.exists():
            empty(project)
        shutil.copytree(start, project, dirs_exist_ok=True)
        write_whole(marker, newest)  # last: without it, the next opening lays the files again
    return saved


def lay_start(folder: Path, place: Lesson | Exercise) -> None:
    """Fill a folder with the files that a lesson or an exercise begins with."""
    if isinstance(place, Exercise):
        startstate.lay_project(folder, place.start, place.project)
        copy_into(folder, place.folder / "starter")
    elif place.project:
        startstate.lay_project(folder, place.start)
    else:
        folder.mkdir(exist_ok=True)


def empty(folder: Path) -> None:
    """Delete what is in a folder, read-only files and folders too: git makes such ones."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            if sys.version_info >= (3, 12):
                shutil.rmtree(path, onexc=_delete_read_only)
            else:
                shutil.rmtree(path, onerror=_delete_read_only)
        else:
            try:
                path.unlink()
            except PermissionError:
                _delete_read_only(os.unlink, str(path))


def _delete_read_only(delete: Callable[[str], object], path: str, _: object = None) -> None:
    """Called where ``delete`` was refused: Windows keeps read-only files, other systems what is in a read-only folder."""
    if delete not in (os.unlink, os.rmdir):
        raise  # a folder that can't be read, so that nothing in it was saved
    for place in (os.path.dirname(path), path):
        if not os.path.islink(place):
            os.chmod(place, os.stat(place).st_mode | stat.S_IRWXU)
    delete(path)


def database_exists(running: Server, database: str) -> bool:
    with running.connect() as session:
        return session.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone() is not None


def revision(running: Server, database: str) -> str | None:
    """The revisions that a database is at, joined by commas; None before the first migration."""
    return ", ".join(versions(running, database)) or None


def versions(running: Server, database: str) -> list[str]:
    """What stands in ``alembic_version``; nothing where there is no such table yet."""
    with running.connect(database) as session:
        session.execute("SET lock_timeout = '2s'")  # a migration in another session may hold the table for ever
        return versions_seen(session)


def versions_seen(session: psycopg.Connection) -> list[str]:
    """What stands in the ``alembic_version`` of a session's database; nothing where there is no such table yet."""
    [(table,)] = session.execute("SELECT to_regclass('alembic_version')")
    if table is None:
        return []
    return [row[0] for row in session.execute("SELECT version_num FROM alembic_version ORDER BY 1")]
