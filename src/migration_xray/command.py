"""Run Alembic's own command line in this process, as ``alembic`` runs it in a terminal.

Every subcommand and option is Alembic's. What differs is told where it differs: paths are shown from the project's
folder, everything is printed in order on one stream, and an error becomes a sentence with the line that caused it.
"""

from __future__ import annotations

import importlib
import io
import logging
import os
import re
import sys
import sysconfig
import threading
import traceback
import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn, Protocol

from alembic.config import CommandLine, Config
from alembic.util import CommandError
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry, Pool

from migration_xray.errors import AlembicError, UserError, sqlstate

LONGEST, LONGEST_LINE = 4_000, 300  # letters of an error, and of a line of code, that are shown: they may have millions
INSTALLED = re.compile(rf"[\\/](site|dist)-packages[\\/]|^{re.escape(sysconfig.get_path('stdlib'))}")


class Stream(Protocol):
    """What a command can print to: any text stream is one."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


def run(arguments: Sequence[str], project: Path, output: Stream) -> None:
    """Run ``alembic ARGUMENTS`` as from the folder ``project``, printing to ``output`` line by line.

    Raises AlembicError where the command fails, and lets KeyboardInterrupt through.
    """
    if not project.is_dir():
        raise AlembicError(
            f"The Alembic project {project} is not there any more. Open its lesson again: that lays it anew."
        )
    writer = _ProjectPaths(output, project)
    try:
        with at_home(project, arguments), redirect_stdout(writer), redirect_stderr(writer):
            _CommandLine(prog="alembic").main(list(arguments))
    except SystemExit as end:
        writer.flush()
        if end.code not in (None, 0) or _line_at_fault(end, project)[0]:
            raise explained(end, project) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        writer.flush()
        raise explained(error, project) from None
    finally:
        writer.flush()


class _CommandLine(CommandLine):
    """Alembic's command line, whose refusals are errors: of words that it does not know, and of its commands."""

    def __init__(self, prog: str):
        super().__init__(prog)
        commands = [action.choices for action in self.parser._actions if isinstance(action.choices, dict)]
        for parser in (self.parser, *(parser for known in commands for parser in known.values())):
            parser.error = partial(_refuse, parser)

    def run_cmd(self, config: Config, options: Namespace) -> None:
        config.stdout = sys.stdout  # Config took the stream of the time when alembic was imported
        options.raiseerr = True
        super().run_cmd(config, options)


def _refuse(parser: ArgumentParser, message: str) -> NoReturn:
    """What argparse does with a wrong command line, but that it says why in an error."""
    parser.print_usage(sys.stderr)
    raise UserError(f"{parser.prog}: error: {message}")


class _ProjectPaths(io.TextIOBase):
    """A text stream that passes whole lines on and shows the project's paths from its folder."""

    encoding = "utf-8"

    def __init__(self, output: Stream, project: Path):
        self.output, self.paths = output, _paths_in(project)
        self.rest: list[str] = []

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        lines, newline, rest = text.rpartition("\n")
        if newline:
            self.output.write(_shown("".join([*self.rest, lines, newline]), self.paths))
            self.rest = []
        self.rest.append(rest)
        return len(text)

    def flush(self) -> None:
        rest = "".join(self.rest)
        if rest.endswith(" ...  "):  # a status line that is still to be ended by "done"
            return
        self.output.write(_shown(rest, self.paths))
        self.output.flush()
        self.rest = []


def _paths_in(project: Path) -> re.Pattern[str]:
    roots = sorted({str(project), str(project.resolve())}, key=len, reverse=True)
    return re.compile("(?:" + "|".join(map(re.escape, roots)) + r")[\\/]([^\s'\"]+)")


def _shown(text: str, paths: re.Pattern[str]) -> str:
    """A text with these paths as they are from the project's folder."""
    return paths.sub(lambda match: match[1].replace("\\", "/"), text)


@contextmanager
def at_home(project: Path, arguments: Sequence[str]) -> Iterator[None]:
    """What a process of its own would give the command and take back at its end: folder, environment, imports, sessions.

    Its sessions are called "alembic" on the server, where libpq makes them and nothing else names them.
    """
    folder, words, variables = os.getcwd(), sys.argv, dict(os.environ)
    os.chdir(project)
    try:
        sys.argv = ["alembic", *arguments]
        os.environ.setdefault("PGAPPNAME", "alembic")
        with _own_imports(project), _own_logging(), _own_sessions(), warnings.catch_warnings():
            yield
    finally:
        sys.argv = words
        for name in set(os.environ) - set(variables):
            del os.environ[name]
        os.environ.update(variables)
        os.chdir(folder)


@contextmanager
def _own_imports(project: Path) -> Iterator[None]:
    """The project's modules as its files are now, whatever a notebook or an earlier command has imported."""
    path, writes_bytecode = list(sys.path), sys.dont_write_bytecode
    sys.path[:] = filter(
        None, path
    )  # a notebook finds modules in its folder, the program alembic where alembic.ini says
    sys.dont_write_bytecode = True
    importlib.invalidate_caches()  # prepend_sys_path = . means another folder than it did for the last project
    before = _modules_of(project)
    for name, module in before.items():
        del sys.modules[name]
        # Bytecode knows its file by the second and the size, so this one's may be of an earlier file.
        if cached := getattr(module.__spec__, "cached", None):
            with suppress(OSError):
                os.unlink(cached)
    try:
        yield
    finally:
        for name in _modules_of(project):
            del sys.modules[name]
        sys.modules.update(before)
        sys.path[:] = path
        sys.dont_write_bytecode = writes_bytecode


def _modules_of(project: Path) -> dict[str, ModuleType]:
    """The imported modules that are the project's own, packages without a file too."""
    is_own = _owned_by(project)

    def places(module: ModuleType) -> list[Any]:
        known = getattr(module, "__dict__", {})  # asking for an attribute would import what imports itself lazily
        return [known.get("__file__"), *(known.get("__path__") or ())]

    return {name: module for name, module in list(sys.modules.items()) if any(map(is_own, places(module)))}


@contextmanager
def _own_logging() -> Iterator[None]:
    """env.py's fileConfig replaces the root's handlers and silences every other logger; undo both."""
    before = {log: (log.level, list(log.handlers), log.disabled, log.propagate) for log in _loggers()}
    try:
        yield
    finally:
        for log in _loggers():
            level, handlers, log.disabled, log.propagate = before.get(log, (logging.NOTSET, [], False, True))
            log.setLevel(level)
            log.handlers[:] = handlers


def _loggers() -> list[logging.Logger]:
    known = logging.Logger.manager.loggerDict.values()
    return [logging.getLogger(), *(log for log in known if isinstance(log, logging.Logger))]


@contextmanager
def _own_sessions() -> Iterator[None]:
    """Close the sessions that a migration or env.py leaves open: with their locks, they would outlive the command."""
    thread = threading.get_ident()
    opened: list[ConnectionPoolEntry] = []

    def note(_: Any, record: ConnectionPoolEntry) -> None:
        if threading.get_ident() == thread:
            opened.append(record)

    event.listen(Pool, "connect", note)
    try:
        yield
    finally:
        event.remove(Pool, "connect", note)
        for record in opened:
            record.invalidate()


def explained(error: BaseException, project: Path) -> AlembicError:
    """What ended a command, in a sentence with the project's line that caused it."""
    where, source = _line_at_fault(error, project)
    original = error.orig if isinstance(error, DBAPIError) and error.orig else error
    said = _shown(_cut(sentence(original), LONGEST), _paths_in(project))
    return AlembicError(said, where, source and _cut(source, LONGEST_LINE), sqlstate(original))


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]} …"


def sentence(error: BaseException) -> str:
    """An error in the words of whoever raised it; PostgreSQL's with its detail and its hint."""
    diagnosis = getattr(error, "diag", None)
    if diagnosis is not None and diagnosis.message_primary:
        details = [f"{type(error).__name__}: {diagnosis.message_primary}"]
        detail = getattr(error, "detail_in_names", None) or diagnosis.message_detail
        for name, said in (("DETAIL", detail), ("HINT", diagnosis.message_hint)):
            details += [indented(f"  {name}: {said}")] if said else []
        return "\n".join(details)
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    if isinstance(error, CommandError):
        return f"FAILED: {error}"
    if isinstance(error, SystemExit):
        return f"alembic ended with exit status {error.code or 0} before it was done."
    said = str(error).strip()
    if isinstance(error, UserError):
        return said
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def indented(text: str) -> str:
    """A text of PostgreSQL's whose later lines belong to its first one."""
    return text.replace("\n", "\n    ")


def _line_at_fault(error: BaseException, project: Path) -> tuple[str | None, str | None]:
    """The deepest line of the project's own files that led to the error, but for env.py when a revision did."""
    is_own = _owned_by(project)
    if isinstance(error, SyntaxError) and is_own(error.filename):
        return _place(error.filename, error.lineno, project), (error.text or "").strip()
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if is_own(frame.filename)]
    frames = [frame for frame in frames if Path(frame.filename).name != "env.py"] or frames
    if not frames or isinstance(error, CommandError):
        return None, None
    return _place(frames[-1].filename, frames[-1].lineno, project), frames[-1].line


def _place(filename: str | None, line: int | None, project: Path) -> str:
    return f"{_shown(filename or '', _paths_in(project))}, line {line}"


def _owned_by(project: Path) -> Callable[[str | None], bool]:
    """What tells whether a file or a folder is the project's own: Python and its packages may lie in it too."""
    roots = tuple(f"{root}{os.sep}" for root in (project, project.resolve()))

    def is_own(place: str | None) -> bool:
        return isinstance(place, str) and place.startswith(roots) and not INSTALLED.search(place)

    return is_own
