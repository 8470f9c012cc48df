"""The PostgreSQL server to learn on (embedded, in Docker, or by its URL) and the databases that lessons begin from."""

from . import compose, postgres, startstate
from .embedded import Embedded, free_port, is_free, open_to_others, programs, server_uid
from .postgres import Server, as_url, connect, environment, server
from .startstate import ensure_template, variables

__all__ = [
    "Embedded",
    "Server",
    "as_url",
    "compose",
    "connect",
    "ensure_template",
    "environment",
    "free_port",
    "is_free",
    "open_to_others",
    "postgres",
    "programs",
    "server",
    "server_uid",
    "startstate",
    "variables",
]
