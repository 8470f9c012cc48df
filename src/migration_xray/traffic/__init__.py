"""An application at work beside a migration, and what it felt: as data, as a chart, and side by side."""

from . import chart
from .comparison import Comparison
from .felt import Felt
from .traffic import Traffic, asked, last_traffic, remember

__all__ = ["Comparison", "Felt", "Traffic", "asked", "chart", "last_traffic", "remember"]
