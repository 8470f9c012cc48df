"""What is said when something cannot go on: a sentence, never a traceback of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg

    from migration_xray.trace import Trace

DEADLOCK = "40P01"  # https://www.postgresql.org/docs/18/errcodes-appendix.html


class UserError(Exception):
    """A sentence for the person at the keyboard: what was found, what was expected, what to do.

    IPython shows it without a traceback, and it still stops "Run All"; a terminal prints it and exits with 1.
    """

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


class AlembicError(UserError):
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


def unimported(error: ImportError) -> str:
    """What can't be imported and why, in a sentence; some packages give no name, and a page of attempts."""
    return f"Python can't import {error.name or 'a package'}: {str(error).splitlines()[0].rstrip('.')}"


@contextmanager
def needing(what: str, install: str) -> Iterator[None]:
    """Around what needs a package that not everybody has: its absence becomes a UserError that says how to get it."""
    try:
        yield
    except ImportError as error:
        package, reason = (error.name or "a package").partition(".")[0], str(error).splitlines()[0].rstrip(".")
        raise UserError(f"{what} needs {package} ({reason}). Install it with: {install}") from None


def sqlstate(error: BaseException | None) -> str | None:
    """PostgreSQL's code of an error, as psycopg has it or psycopg2; None for any other error.

    https://www.postgresql.org/docs/18/errcodes-appendix.html
    """
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)


def said(error: psycopg.Error) -> str:
    """What PostgreSQL said, in one line; libpq's words, or psycopg's, where the server's did not come through."""
    words = error.diag.message_primary or str(error).strip() or type(error).__name__
    return words.splitlines()[0]


def servers_words(refusal: object) -> str:
    """Why the server refused a session: libpq tells where it asked first, and at the end what the server said."""
    return str(refusal).strip().splitlines()[-1].split("FATAL:")[-1].strip()
