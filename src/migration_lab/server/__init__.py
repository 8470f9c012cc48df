"""The PostgreSQL server to learn on (embedded, in Docker, or by its URL) and the databases that lessons begin from."""

from . import compose, postgres, programs, startstate
from .embedded import Embedded, free_port, is_free, server_uid
from .postgres import Server, as_url, connect, environment, server
from .programs import open_to_others, search_path
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
    "search_path",
    "server",
    "server_uid",
    "startstate",
    "variables",
]
