"""The verbs in a notebook: what every kernel has, magics, named sessions, predictions, and what a cell shows."""

from .kernel import load_ipython_extension, register

__all__ = ["load_ipython_extension", "register"]
