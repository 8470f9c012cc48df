"""A learner's answer beside the solution."""

from .comparison import Comparison, compare

__all__ = ["Comparison", "compare"]
