"""What SQLAlchemy sends to PostgreSQL, watched: statement by statement, from the server's own words and catalogs."""

from .events import last_trace, origin, remember, watching

__all__ = ["last_trace", "origin", "remember", "watching"]
