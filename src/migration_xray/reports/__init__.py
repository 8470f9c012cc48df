"""A trace as a page: one file a form, all from the same trace."""

from .html import as_html
from .text import as_text

__all__ = ["as_html", "as_text"]
