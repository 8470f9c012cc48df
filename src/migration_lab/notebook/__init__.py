"""The verbs in a notebook: magics, named sessions, and what a cell shows."""

from .magics import register

__all__ = ["register"]
