"""A process of its own for a learner's migrations, so that whatever they do hurts nothing else."""

from . import forked
from .hindrance import A_READERS, A_WRITERS, AN_INDEXS, Hindrance, Met
from .runner import Revision, Runner, Stopped

__all__ = ["AN_INDEXS", "A_READERS", "A_WRITERS", "Hindrance", "Met", "Revision", "Runner", "Stopped", "forked"]
