"""Where the course's files are: in a clone beside the package, or in the package where a wheel was installed."""

from __future__ import annotations

from pathlib import Path

from migration_xray.errors import UserError

PACKAGE = Path(__file__).resolve().parent
CLONE = PACKAGE.parents[1] if (PACKAGE.parents[1] / "notebooks" / "lessons.toml").is_file() else None
ROOT = CLONE or PACKAGE
NOTEBOOKS = ROOT / "notebooks"


def clone() -> Path:
    """The clone, for what only authors do. Raises UserError where there is none."""
    if CLONE is None:
        raise UserError(
            f"This works in a clone of Migration Lab only, and this is the package in {PACKAGE}. "
            "Clone the repository, then run the program in its scripts/."
        )
    return CLONE
