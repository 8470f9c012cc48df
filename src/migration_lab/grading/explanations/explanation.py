"""What a failed Alembic command means, for any exercise: the mistakes that everybody makes, explained in one place.

An exercise's own ``explain`` comes first, where it has something to say. What is said here has been looked up: in the files,
in the database, in what x-ray saw. Where nothing was found, nothing is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migration_xray.errors import AlembicError

from .chain import of_alembic
from .files import of_the_files
from .python import of_a_lost_session, of_python
from .refusals import of_the_server

if TYPE_CHECKING:
    from ..graded import Graded


def explanation(error: AlembicError, db: Graded) -> str | None:
    """What a command's error means and what to do about it, as far as that can be seen; else None."""
    if error.sqlstate:
        return of_the_server(error, db)
    explained = of_the_files(error, db.project) or of_alembic(error, db) or of_python(error, db.project)
    return explained or of_a_lost_session(error, db)
