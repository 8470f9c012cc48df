"""Where the course's files are: in a clone beside the package, or in the package where a wheel was installed."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
CLONE = PACKAGE.parents[1] if (PACKAGE.parents[1] / "notebooks" / "lessons.toml").is_file() else None
ROOT = CLONE or PACKAGE
NOTEBOOKS = ROOT / "notebooks"
