"""Run Alembic's own command line in this process, as ``alembic`` runs it in a terminal.

Every subcommand and option is Alembic's. What differs is told where it differs: paths are shown from the project's
folder, everything is printed in order on one stream, and an error becomes a sentence with the line that caused it.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TextIO

from alembic.config import CommandLine, Config
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from .errors import LabError


class AlembicError(LabError):
    """An Alembic command that failed: PostgreSQL's or Alembic's own sentence, and the line that caused it.

    ``sqlstate`` is PostgreSQL's code where the server refused ("42P01"), else None;
    ``where`` is such as "migrations/versions/0001_users.py, line 20", else None;
    ``printed`` is the end of what was printed, where a Runner ran the command and nobody has seen it.
    https://www.postgresql.org/docs/18/errcodes-appendix.html
    """

    def __init__(
        self,
        sentence: str,
        where: str | None = None,
        source: str | None = None,
        sqlstate: str | None = None,
        printed: str = "",
    ):
        self.sentence, self.where, self.source = sentence, where, source
        self.sqlstate, self.printed = sqlstate, printed
        lines = [sentence]
        if where:
            lines.append(f"  in {where}" + (f": {source}" if source else ""))
        super().__init__("\n".join(lines))


def run(arguments: Sequence[str], project: Path, output: TextIO) -> None:
    """Run ``alembic ARGUMENTS`` as from the folder ``project``, printing to ``output`` line by line.

    Raises AlembicError where the command fails, and lets KeyboardInterrupt through.
    """
    writer = _ProjectPaths(output, project)
    try:
        with _at_home(project), redirect_stdout(writer), redirect_stderr(writer):
            _CommandLine(prog="alembic").main(list(arguments))
    except SystemExit as end:
        writer.flush()
        if end.code not in (None, 0) or _line_at_fault(end, project)[0]:
            raise _explained(end, project) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        writer.flush()
        raise _explained(error, project) from None
    finally:
        writer.flush()


class _CommandLine(CommandLine):
    def run_cmd(self, config: Config, options: Namespace) -> None:
        config.stdout = sys.stdout  # Config took the stream of the time when alembic was imported
        options.raiseerr = True
        super().run_cmd(config, options)


class _ProjectPaths:
    """A text stream that passes whole lines on and shows the project's paths from its folder."""

    encoding = "utf-8"

    def __init__(self, output: TextIO, project: Path):
        self.output, self.rest = output, ""
        roots = {str(project), str(project.resolve())}
        self.path = re.compile("(?:" + "|".join(map(re.escape, sorted(roots, key=len, reverse=True))) + r")[\\/]([^\s'\"]+)")

    def write(self, text: str) -> int:
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            self.output.write(self._shown(line) + "\n")
        return len(text)

    def flush(self) -> None:
        if self.rest.endswith(" ...  "):  # a status line that is still to be ended by "done"
            return
        self.output.write(self._shown(self.rest))
        self.output.flush()
        self.rest = ""

    def isatty(self) -> bool:
        return False

    def _shown(self, line: str) -> str:
        return self.path.sub(lambda match: match[1].replace("\\", "/"), line)


@contextmanager
def _at_home(project: Path) -> Iterator[None]:
    """What a process of its own would give the command: its folder, its imports, its logging; all put back after."""
    folder, path, modules = os.getcwd(), list(sys.path), set(sys.modules)
    writes_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    os.chdir(project)
    try:
        with _own_logging():
            yield
    finally:
        sys.path[:] = path
        sys.dont_write_bytecode = writes_bytecode
        os.chdir(folder)
        for name in set(sys.modules) - modules:
            if _lies_in(getattr(sys.modules[name], "__file__", None), project):
                del sys.modules[name]


@contextmanager
def _own_logging() -> Iterator[None]:
    """env.py's fileConfig replaces the root's handlers and silences every other logger; undo both."""
    root = logging.getLogger()
    loggers = [root, *(log for log in logging.Logger.manager.loggerDict.values() if isinstance(log, logging.Logger))]
    before = [(log, log.level, list(log.handlers), log.disabled, log.propagate) for log in loggers]
    try:
        yield
    finally:
        for log, level, handlers, disabled, propagate in before:
            log.setLevel(level)
            log.handlers[:] = handlers
            log.disabled, log.propagate = disabled, propagate


def _explained(error: BaseException, project: Path) -> AlembicError:
    where, source = _line_at_fault(error, project)
    original = error.orig if isinstance(error, DBAPIError) else error
    sqlstate = getattr(original, "sqlstate", None)
    return AlembicError(_sentence(original), where, source, sqlstate)


def _sentence(error: BaseException) -> str:
    diagnosis = getattr(error, "diag", None)
    if diagnosis is not None and diagnosis.message_primary:
        details = [f"{type(error).__name__}: {diagnosis.message_primary}"]
        details += [f"  DETAIL: {diagnosis.message_detail}"] if diagnosis.message_detail else []
        details += [f"  HINT: {diagnosis.message_hint}"] if diagnosis.message_hint else []
        return "\n".join(details)
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}"
    if isinstance(error, CommandError):
        return f"FAILED: {error}"
    if isinstance(error, SystemExit):
        return f"alembic ended with exit status {error.code or 0} before it was done."
    said = str(error).strip()
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _line_at_fault(error: BaseException, project: Path) -> tuple[str | None, str | None]:
    """The deepest line of the project's own files that led to the error, but for env.py when a revision did."""
    if isinstance(error, SyntaxError) and _lies_in(error.filename, project):
        return _place(error.filename, error.lineno, project), (error.text or "").strip()
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _lies_in(frame.filename, project)]
    frames = [frame for frame in frames if Path(frame.filename).name != "env.py"] or frames
    if not frames or isinstance(error, CommandError):
        return None, None
    return _place(frames[-1].filename, frames[-1].lineno, project), frames[-1].line


def _place(filename: str, line: int | None, project: Path) -> str:
    path = Path(filename).resolve().relative_to(project.resolve()).as_posix()
    return f"{path}, line {line}"


def _lies_in(filename: str | None, project: Path) -> bool:
    # Code without a file is called such as <string>, which would resolve to a path in this very folder.
    return bool(filename) and not filename.startswith("<") and Path(filename).resolve().is_relative_to(project.resolve())
