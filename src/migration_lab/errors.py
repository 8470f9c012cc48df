"""What the lab says when it cannot go on: a sentence, never a traceback of ours."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager


class LabError(Exception):
    """A sentence for the person at the keyboard: what was found, what was expected, what to do.

    IPython shows it without a traceback, and it still stops "Run All"; the terminal prints it and exits with 1.
    """

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


# What to do about PostgreSQL's refusals that a learner meets outside their own SQL, by SQLSTATE.
# https://www.postgresql.org/docs/18/errcodes-appendix.html
MENDS = {
    "42501": "The role needs the right to create databases: ALTER ROLE … CREATEDB.",
    "53100": "The disk that holds the database is full: make room, then try again.",
    "53300": "Too many sessions are open: shut down kernels that you don't need, then try again.",
}


@contextmanager
def in_words() -> Iterator[None]:
    """Turn what the server or the disk refuses to the lab itself into a LabError."""
    import psycopg

    try:
        yield
    except psycopg.Error as error:
        said = error.diag.message_primary or str(error).strip() or type(error).__name__
        mend = MENDS.get(error.sqlstate or "", "`lab doctor` looks for the cause.")
        raise LabError(f"PostgreSQL said: {said}. {mend}") from None
    except OSError as error:
        mend = "Make room on the disk, then try again." if error.errno == errno.ENOSPC else "Check that you may write there."
        raise LabError(f"{error.filename or 'A file'}: {error.strerror}. {mend}") from None
