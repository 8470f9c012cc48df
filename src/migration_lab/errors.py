"""What the lab says when it cannot go on: a sentence, never a traceback of ours."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

    from .trace import Trace


class LabError(Exception):
    """A sentence for the person at the keyboard: what was found, what was expected, what to do.

    IPython shows it without a traceback, and it still stops "Run All"; the terminal prints it and exits with 1.
    """

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


class AlembicError(LabError):
    """An Alembic command that failed: PostgreSQL's or Alembic's own sentence, and the line that caused it.

    ``sqlstate`` is PostgreSQL's code where the server refused ("42P01"), else None;
    ``where`` is such as "migrations/versions/0001_users.py, line 20", else None;
    ``printed`` is the end of what was printed and ``trace`` what x-ray saw, where a Runner ran the command.
    https://www.postgresql.org/docs/18/errcodes-appendix.html
    """

    trace: Trace | None = None

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


class Interrupted(KeyboardInterrupt):
    """The person at the keyboard stopped it, and needs no traceback to know; it still stops "Run All"."""

    def _render_traceback_(self) -> list[str]:
        return ["Interrupted."]


# What to do about PostgreSQL's refusals that a learner meets outside their own SQL, by SQLSTATE.
# https://www.postgresql.org/docs/18/errcodes-appendix.html
MENDS = {
    "42501": "The role must be allowed to create databases (ALTER ROLE … CREATEDB), and own those that the lab made.",
    "53100": "The disk that holds the database is full: make room, then try again.",
    "53300": "Too many sessions are open: shut down kernels that you don't need, then try again.",
    "55P03": "Another session holds that lock: end its transaction, or reset with `%lesson NUMBER --reset`.",
}
FULL = (errno.ENOSPC, errno.EDQUOT)


def unimported(error: ImportError) -> str:
    """What can't be imported and why, in a sentence; some packages give no name, and a page of attempts."""
    return f"Python can't import {error.name or 'a package'}: {str(error).splitlines()[0].rstrip('.')}"


def sqlstate(error: BaseException) -> str | None:
    """PostgreSQL's code of an error, as psycopg has it or psycopg2; None of any other error."""
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)


def said(error: psycopg.Error) -> str:
    """What PostgreSQL said, in one line; libpq's words, or psycopg's, where the server's did not come through."""
    words = error.diag.message_primary or str(error).strip() or type(error).__name__
    return words.splitlines()[0]


@contextmanager
def in_words() -> Iterator[None]:
    """Turn what the server or the disk refuses to the lab itself into a LabError."""
    try:
        yield
    except OSError as error:
        file, reason = error.filename2 or error.filename or "A file", error.strerror or str(error)
        if isinstance(error, shutil.Error):  # of a whole folder: [(source, target, what the system said), …]
            _, file, reason = error.args[0][0]
        full = any(os.strerror(code) in reason for code in FULL)
        mend = "Make room on the disk, then try again." if full else "Check that you may write there."
        raise LabError(f"{os.fsdecode(file)}: {reason}. {mend}") from None
    except Exception as error:
        psycopg = sys.modules.get("psycopg")  # not imported here: `lab doctor` must speak where that fails
        if psycopg is None or not isinstance(error, psycopg.Error):
            raise
        mend = MENDS.get(error.sqlstate or "", "`lab doctor` looks for the cause.")
        raise LabError(f"PostgreSQL said: {said(error)}. {mend}") from None
