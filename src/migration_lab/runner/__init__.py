"""A process of its own for a learner's migrations, so that whatever they do hurts nothing else."""

from . import forked
from .hindrance import Hindrance, Met
from .runner import Revision, Runner, Stopped

__all__ = ["Hindrance", "Met", "Revision", "Runner", "Stopped", "forked"]
