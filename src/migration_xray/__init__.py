"""Migration X-ray: what a migration does to a PostgreSQL server, and what an application feels of it.

>>> from migration_xray import watching
>>> with watching("upgrade head") as trace:
...     alembic.command.upgrade(config, "head")
>>> print(as_text(trace))

In a terminal, ``migration-xray upgrade head`` does this to any Alembic project with a PostgreSQL database.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from migration_xray.errors import UserError
    from migration_xray.reports import as_html, as_text
    from migration_xray.trace import Trace
    from migration_xray.traffic import Comparison, Felt, Traffic, last_traffic
    from migration_xray.watch import last_trace, watching

__all__ = [
    "Comparison",
    "Felt",
    "Trace",
    "Traffic",
    "UserError",
    "as_html",
    "as_text",
    "last_trace",
    "last_traffic",
    "watching",
]

ROOMS = {
    "errors": ("UserError",),
    "reports": ("as_html", "as_text"),
    "trace": ("Trace",),
    "traffic": ("Comparison", "Felt", "Traffic", "last_traffic"),
    "watch": ("last_trace", "watching"),
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, and no more: the traffic's process needs no SQLAlchemy, an error message no psycopg."""
    for room, names in ROOMS.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{room}"), name)
    raise AttributeError(f"module {__name__} has no attribute {name}")
