"""What a check did not foresee: the answer's doing where that can be seen in the database or the files, else the lab's own failure."""

from __future__ import annotations

import platform
import re
import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import psycopg

from migration_lab.course import Exercise
from migration_lab.pictures import snapshot
from migration_lab.workspace import Workspace
from migration_xray.errors import UserError

from .explanations import below, leftover, search_path
from .graded import Graded
from .outage import NOT_THE_CAUSE
from .probes import diff

LOG = "failures.log"
# A statement that no database takes, whatever an answer has made of it: the check's own mistake.
MISWRITTEN = ("42601", "42P02", "42P18")
CUT_SHORT = (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled)


class LabFailure(Exception):
    """The lab itself went wrong while it graded; ``__cause__`` is how."""


def finding(error: Exception, graded: Graded) -> str | None:
    """What an answer has done that its check could not go on, in sentences; None where that is not to be seen."""
    from migration_xray.command import sentence  # not above: with Alembic it takes a tenth of a second

    if isinstance(error, CUT_SHORT):
        why = _looked_up(graded, leftover)
        return why and f"the check could not look at the database ({sentence(error)}).\n  {why} Close what you open."
    if isinstance(error, psycopg.OperationalError) and (file := graded.watch.ends_sessions()):
        why = f"{file} ends sessions, and the check's own one has ended. Leave the sessions of others alone."
        return f"the check could not look at the database ({sentence(error)}).\n  {why}"
    if isinstance(error, OSError | UnicodeDecodeError):
        return _file(error, graded)
    names = _names(error)
    gone = [thing for thing in _taken_away(graded) if names & set(re.findall(r"\w+", thing))]
    if gone:
        return (
            f"after `{graded.command}` the {gone[0]} is gone. It was there before, and the task asks for no such thing."
        )
    if isinstance(error, psycopg.Error) and error.sqlstate and error.sqlstate not in MISWRITTEN:
        return (
            f"after `{graded.command}` PostgreSQL refuses what the check does as the application would:\n  {sentence(error)}"
            f"{below(_looked_up(graded, search_path))}"
        )
    return None


def reported(error: BaseException, exercise: Exercise, workspace: Workspace) -> str:
    """Write what went wrong in the lab into a file of the learner's folder; returns a sentence that names it."""
    cause = error.__cause__ if isinstance(error, LabFailure) and error.__cause__ else error
    log = workspace.state / LOG
    told = "".join(traceback.format_exception(cause))
    head = f"{datetime.now():%Y-%m-%d %H:%M:%S}, exercise {exercise.id}, {_versions()}"
    try:
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{head}\n{told}\n")
        where = f"Please report it, and attach the file {log}."
    except OSError:
        where = "Please report it."
    last = traceback.format_exception_only(cause)[-1].strip()
    return f"the lab itself failed while it checked this answer: {last.rstrip('.')}. {NOT_THE_CAUSE} {where}"


def _file(error: OSError | UnicodeDecodeError, graded: Graded) -> str | None:
    """A file of the project that the check wants to read, and that is gone or not text."""
    if isinstance(error, OSError):
        name = Path(str(error.filename or ""))
        if not name.is_relative_to(graded.project):
            return None
        return f"the file {name.relative_to(graded.project).as_posix()} can't be read: {error.strerror}."
    for file in graded.laid:
        if file.is_file() and file.read_bytes() == error.object:
            return f"{file.relative_to(graded.project).as_posix()} is not saved as UTF-8: {error.reason}. Save it as UTF-8."
    return None


def _names(error: Exception) -> set[str]:
    """The names that an error is about: a key that was not found, or what PostgreSQL's sentence quotes."""
    if isinstance(error, KeyError):
        return {str(error.args[0])} if error.args else set()
    if isinstance(error, psycopg.Error):
        words = re.findall(r'"([^"]+)"|column ([\w.]+)', str(error).splitlines()[0] if str(error) else "")
        return {part for pair in words for word in pair if word for part in word.split(".")}
    return set()


def _taken_away(graded: Graded) -> list[str]:
    """What was there before the upgrade and is not there now: "column users.age"; tables come first."""
    try:
        now = snapshot(graded.session)
    except psycopg.Error:
        return []
    before = graded.given_schema or graded.start
    gone = [change.object for change in diff(before, now) if change.kind == "removed"]
    return sorted(gone, key=lambda thing: not thing.startswith("table "))


def _looked_up(graded: Graded, what: Callable[[psycopg.Connection], str | None]) -> str | None:
    """What a look at the database tells, from a new session: the check's own may be lost."""
    try:
        with graded.running.connect(graded.database) as session:
            return what(session)
    except (UserError, psycopg.Error):
        return None


def _versions() -> str:
    from importlib.metadata import PackageNotFoundError, version

    parts = [f"Python {platform.python_version()}", platform.platform()]
    for package in ("migration-lab", "alembic", "sqlalchemy", "psycopg"):
        try:
            parts.insert(0, f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(parts)
