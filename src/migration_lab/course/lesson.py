"""Open and reset a place to work: a lesson's, or an exercise's, own database and Alembic project."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from sqlalchemy import URL

from migration_lab.files import content_digest, copy_into, empty, write_whole
from migration_lab.server import Server, environment, search_path, server, startstate
from migration_lab.workspace import Workspace
from migration_xray.errors import UserError

from .former import Exchange
from .manifest import Exercise, Lesson

WAY_BACK = "{0} brings back the database and the files from before the reset (in a terminal: {1})."
BACK = "This is what was here before the reset. {0} exchanges the two again (in a terminal: {1})."
NOTHING_BEFORE = "There is nothing to go back to: no reset has changed {0} yet."


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
    way_back: str = ""

    @property
    def url(self) -> URL:
        return self.server.database_url(self.database)

    def __str__(self) -> str:
        lines = [
            f"Server    {self.server}",
            f"Database  {self.database}",
            f"Revision  {self.revision or 'none yet'}",
            self.saved_line,
            self.way_back,
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

    With ``reset`` its database and its files go back to the start, however many sessions are in the database. What was
    there is kept until the next reset, for ``go_back``; the learner's files are saved under ``work/backups/`` too.
    """
    workspace = workspace or Workspace()
    exchange = _exchange(place, workspace)
    running, database, project = exchange.server, exchange.database, exchange.project
    with workspace.locked(place.place), exchange.settled():
        is_new = not database_exists(running, database)
        if reset and not (_are_untouched(project) and (is_new or exchange.is_untouched())):
            saved = _begin_anew(place, exchange)
            is_new = True
        else:
            saved = lay_files(place, project, reset, workspace)
            if reset or is_new:
                startstate.create_database(running, database, place.start)
                is_new = True
        if is_new:
            exchange.note_start()
        way_back = WAY_BACK.format(*_commands(place)) if reset and exchange.can_go_back() else ""
    return Opened(place, workspace, running, project, database, revision(running, database), saved, is_new, way_back)


def go_back(place: Lesson | Exercise, workspace: Workspace | None = None) -> Opened:
    """Exchange a place's database and files for those that its last reset has replaced; done twice, it changes nothing.

    Raises UserError where no reset has replaced anything.
    """
    workspace = workspace or Workspace()
    exchange = _exchange(place, workspace)
    with workspace.locked(place.place), exchange.settled():
        if not exchange.can_go_back():
            raise UserError(NOTHING_BEFORE.format(_named(place)))
        _save(exchange)
        exchange.go_back(place.start)
    return replace(open_place(place, workspace=workspace), way_back=BACK.format(*_commands(place)))


def _exchange(place: Lesson | Exercise, workspace: Workspace) -> Exchange:
    running = server(workspace=workspace)
    return Exchange(running, database_name(place.place, running, workspace), workspace.project(place.place), workspace)


def _are_untouched(project: Path) -> bool:
    """Whether a project's files are those that were laid, or there are none."""
    marker = project / ".laid"
    return not project.exists() or (marker.exists() and marker.read_text(encoding="utf-8") == content_digest(project))


def _begin_anew(place: Lesson | Exercise, exchange: Exchange) -> Path | None:
    """Reset a place where something has changed. Returns where the learner's files were saved, if they had changed."""
    saved = _save(exchange)
    with tempfile.TemporaryDirectory() as folder:
        start = Path(folder) / "start"
        lay_start(start, place)
        write_whole(start / ".laid", content_digest(start))
        exchange.begin_anew(start, place.start)
    return saved


def _save(exchange: Exchange) -> Path | None:
    """Save the learner's files for good, if they have changed."""
    return None if _are_untouched(exchange.project) else exchange.workspace.back_up(exchange.project)


def _named(place: Lesson | Exercise) -> str:
    return f"lesson {place.number}" if isinstance(place, Lesson) else f"the exercise {place.id}"


def _commands(place: Lesson | Exercise) -> tuple[str, str]:
    """What goes back from the last reset, in a notebook and in a terminal."""
    verb, name = ("%lesson", place.number) if isinstance(place, Lesson) else ("%exercise", place.id)
    return f"`{verb} {name} --back`", f"`lab back {name}`"


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
