"""JupyterLab on the learner's folder: what starts it, and who may use it."""

from . import quick  # noqa: F401, I001 - before anything of Jupyter's
from .lab import prepare, settle, start

__all__ = ["prepare", "settle", "start"]
