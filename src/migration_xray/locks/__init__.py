"""PostgreSQL's table locks: their modes, who holds them, and who waits for whom."""

from .modes import MODES, Mode
from .tree import OURS, PREPARED, LockTree, Wait, in_names, lock_tree

__all__ = ["MODES", "OURS", "PREPARED", "LockTree", "Mode", "Wait", "in_names", "lock_tree"]
