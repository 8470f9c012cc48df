"""What the lab says when the server, the disk or a package refuses: a sentence, never a traceback of ours."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from migration_xray.errors import UserError, said


class Interrupted(KeyboardInterrupt):
    """The person at the keyboard stopped it, and needs no traceback to know; it still stops "Run All"."""

    def _render_traceback_(self) -> list[str]:
        return ["Interrupted."]


# What to do about PostgreSQL's refusals that a learner meets outside their own SQL, by SQLSTATE.
# https://www.postgresql.org/docs/18/errcodes-appendix.html
MENDS = {
    "42501": "The role must be allowed to create databases (ALTER ROLE … CREATEDB), and own those that the lab made.",
    "53100": "The disk that holds the database is full: make room, then try again.",
    "53300": "Shut down kernels that you don't need, then try again. If others use this server too, ask whoever runs it to "
    "raise max_connections.",
    "55P03": "Another session holds that lock: end its transaction, or reset with `%lesson NUMBER --reset`.",
}
FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def in_words() -> Iterator[None]:
    """Turn what the server or the disk refuses to the lab itself into a UserError."""
    try:
        yield
    except OSError as error:
        file, reason = error.filename2 or error.filename or "A file", error.strerror or str(error)
        if isinstance(error, shutil.Error):  # of a whole folder: [(source, target, what the system said), …]
            _, file, reason = error.args[0][0]
        full = any(os.strerror(code) in reason for code in FULL)
        mend = "Make room on the disk, then try again." if full else "Check that you may write there."
        raise UserError(f"{os.fsdecode(file)}: {reason}. {mend}") from None
    except Exception as error:
        psycopg = sys.modules.get("psycopg")  # not imported here: `lab doctor` must speak where that fails
        if psycopg is None or not isinstance(error, psycopg.Error):
            raise
        mend = MENDS.get(error.sqlstate or "", "`lab doctor` looks for the cause.")
        raise UserError(f"PostgreSQL said: {said(error)}. {mend}") from None
