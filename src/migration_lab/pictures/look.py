"""A look at the schema of the place that is open, with what changed since the last look marked."""

from __future__ import annotations

from migration_lab.course import Opened

from .catalogs import snapshot
from .diagram import Diagram
from .schema import Schema


def schema_diagram(opened: Opened) -> Diagram:
    """The picture of the schema; the first look after opening or resetting marks nothing."""
    with opened.server.connect(opened.database) as session:
        session.execute("SET lock_timeout = '2s'")  # a transaction left open may hold a table for ever
        now = snapshot(session)
        # A reset makes another database of the same name: a look at the earlier one is no look at this.
        born = str(session.execute("SELECT oid FROM pg_database WHERE datname = current_database()").fetchone()[0])
    file = f"look-{opened.place.place}.json"
    last = opened.workspace.read_json(file, {})
    opened.workspace.write_json(file, {"database": born, "schema": now.to_dict()})
    before = Schema.from_dict(last["schema"]) if last.get("database") == born else None
    return Diagram(now, before)
