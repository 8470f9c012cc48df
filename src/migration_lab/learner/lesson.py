"""Open and reset a place to work: a lesson's, or an exercise's, own database and Alembic project."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
from sqlalchemy import URL

from migration_lab.course import Exercise, Lesson, lay_start
from migration_lab.files import content_digest, empty, write_whole
from migration_lab.server import Server, environment, search_path, server, startstate
from migration_lab.workspace import Workspace
from migration_xray.errors import UserError

from .former import Exchange, exchange

WAY_BACK = "{0} brings back the database and the files from before the reset (in a terminal: {1})."
WAY_BACK_TO_FIRST = (
    "{0} brings back the database and the files from before the lesson's first cell reset it (in a terminal: {1})."
)
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
    measured: Path  # the folder of what cells have measured in this database
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


def open_place(
    place: Lesson | Exercise, reset: bool = False, workspace: Workspace | None = None, once_more: bool = False
) -> Opened:
    """Open a place: make what is not there yet and keep what is.

    With ``reset`` its database and its files go back to the start, however many sessions are in the database. What was
    there is kept until the next reset, for ``go_back``; the learner's files are saved under ``work/backups/`` too. A reset
    ``once_more`` in the same run of a lesson keeps what the first one has replaced, if that was anything: the database since
    then has only what the lesson's cells made.
    """
    workspace = workspace or Workspace()
    running = server(workspace=workspace)
    with workspace.locked(place.place):
        with _ours(place, running, workspace) as ours:
            is_new, first_stays = not ours.is_there(), once_more and ours.can_go_back()
            if reset and not (first_stays or _is_untouched(ours, is_new)):
                saved = _begin_anew(place, ours)
                is_new = True
            else:
                saved = lay_files(place, ours.project, reset, workspace)
                if reset or is_new:
                    startstate.create_by(ours.session, running, ours.database, place.start)
                    is_new = True
            if is_new:
                ours.note_start()
            measured = ours.measured
            words = WAY_BACK_TO_FIRST if first_stays else WAY_BACK
            way_back = words.format(*_commands(place)) if reset and ours.can_go_back() else ""
        # Only now is the database open to sessions again; and later, another process may be closing it.
        now = revision(running, ours.database)
    return Opened(place, workspace, running, ours.project, ours.database, now, measured, saved, is_new, way_back)


def go_back(place: Lesson | Exercise, workspace: Workspace | None = None) -> Opened:
    """Exchange a place's database and files for those that its last reset has replaced; done twice, it changes nothing.

    Raises UserError where no reset has replaced anything.
    """
    workspace = workspace or Workspace()
    with workspace.locked(place.place), _ours(place, server(workspace=workspace), workspace) as ours:
        if not ours.can_go_back():
            raise UserError(NOTHING_BEFORE.format(_named(place)))
        _save(ours)
        ours.go_back(place.start)
    return replace(open_place(place, workspace=workspace), way_back=BACK.format(*_commands(place)))


def _ours(place: Lesson | Exercise, running: Server, workspace: Workspace) -> AbstractContextManager[Exchange]:
    """A place's database and files. Whoever changes them holds the workspace's lock on the place."""
    return exchange(running, database_name(place.place, running, workspace), workspace.project(place.place), workspace)


def _is_untouched(ours: Exchange, is_new: bool) -> bool:
    """Whether neither the files nor the database were changed. It may close the database, so only a reset asks."""
    return _are_untouched(ours.project) and (is_new or ours.is_untouched())


def _are_untouched(project: Path) -> bool:
    """Whether a project's files are those that were laid, or there are none."""
    marker = project / ".laid"
    return not project.exists() or (marker.exists() and marker.read_text(encoding="utf-8") == content_digest(project))


def _begin_anew(place: Lesson | Exercise, ours: Exchange) -> Path | None:
    """Reset a place where something has changed. Returns where the learner's files were saved, if they had changed."""
    saved = _save(ours)
    with tempfile.TemporaryDirectory() as folder:
        start = Path(folder) / "start"
        lay_start(start, place)
        write_whole(start / ".laid", content_digest(start))
        ours.begin_anew(start, place.start)
    return saved


def _save(ours: Exchange) -> Path | None:
    """Save the learner's files for good, if they have changed."""
    return None if _are_untouched(ours.project) else ours.workspace.back_up(ours.project)


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


# What Alembic says where one of a project's own files is missing: words of its error.
SAID_WITHOUT = {
    "alembic.ini": "No 'script_location' key found",
    "migrations": "Path doesn't exist: migrations",
    "migrations/env.py": "migrations/env.py",
    "migrations/script.py.mako": "migrations/script.py.mako",
}


def naming_reset(said: str, place: Lesson | Exercise, project: Path) -> str:
    """What was said of an error; if a file is missing that a place began with, also the reset that writes it again."""
    if isinstance(place, Lesson) and not place.project:
        return said
    lost = next((name for name, words in SAID_WITHOUT.items() if words in said and not (project / name).exists()), None)
    if not lost:
        return said
    reset = f"%lesson {place.number}" if isinstance(place, Lesson) else f"%exercise {place.id}"
    return f"{said}\n{lost} is missing from the project; `{reset} --reset` writes it again, and saves your files first."


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
