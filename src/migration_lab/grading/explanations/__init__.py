"""What a failed command means, for any exercise, and the words in which messages tell it."""

from .explanation import explanation
from .leftovers import leftover, search_path
from .python import LOST
from .refusals import at_alembics_table
from .scripts import mentions, overlooked
from .wording import below, listing, quoted, several, short

__all__ = [
    "LOST",
    "at_alembics_table",
    "below",
    "explanation",
    "leftover",
    "listing",
    "mentions",
    "overlooked",
    "quoted",
    "search_path",
    "several",
    "short",
]
