"""What is said when something cannot go on: a sentence, never a traceback of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psycopg


class UserError(Exception):
    """A sentence for the person at the keyboard: what was found, what was expected, what to do.

    IPython shows it without a traceback, and it still stops "Run All"; a terminal prints it and exits with 1.
    """

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


def sqlstate(error: BaseException | None) -> str | None:
    """PostgreSQL's code of an error, as psycopg has it or psycopg2; None for any other error.

    https://www.postgresql.org/docs/18/errcodes-appendix.html
    """
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)


def said(error: psycopg.Error) -> str:
    """What PostgreSQL said, in one line; libpq's words, or psycopg's, where the server's did not come through."""
    words = error.diag.message_primary or str(error).strip() or type(error).__name__
    return words.splitlines()[0]
