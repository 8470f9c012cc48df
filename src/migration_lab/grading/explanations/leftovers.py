"""What a migration has left behind that keeps later commands from their work."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from ..graded import Graded

# Sessions in a database that are not the lab's own.
OTHERS = """
    SELECT DISTINCT application_name, CASE WHEN relation IS NULL THEN '' ELSE relation::regclass::text END, mode
    FROM pg_stat_activity JOIN pg_locks USING (pid)
    WHERE datname = current_database() AND backend_type = 'client backend' AND granted
        AND application_name <> ALL (ARRAY['migration-lab', 'x-ray']) AND NOT starts_with(application_name, 'traffic ')
        AND locktype = 'relation' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND mode <> 'AccessShareLock'
    ORDER BY 2"""


def leftover(session: psycopg.Connection) -> str | None:
    """In a sentence, the session that a migration has left open in the database, with its strongest lock on a table."""
    for _, relation, mode in session.execute(OTHERS).fetchall():
        return f"A session that your migration opened is still open, and holds {mode} on {relation}."
    return None


def search_path(session: psycopg.Connection) -> str | None:
    """A search_path that a migration has set for the database."""
    found = session.execute(
        "SELECT setting FROM pg_db_role_setting, unnest(setconfig) AS s(setting) WHERE setting LIKE 'search_path=%'"
        " AND setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())"
    ).fetchone()
    return (
        f"Every new session of this database has {found[0]} now, and finds no other schema's tables." if found else None
    )


def looked_up(db: Graded, what: Callable[[psycopg.Connection], str | None]) -> str | None:
    """What is found in the graded database, which may be out of reach after an error."""
    try:
        return what(db.session)
    except psycopg.Error:
        return None
