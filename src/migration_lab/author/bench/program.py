"""The programs that are measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from migration_xray.errors import UserError

BIN = Path(sys.executable).parent  # the programs of this environment
# The person's own Python, from which set-ups make environments; typeshed does not know of it.
BASE_PYTHON = sys._base_executable  # type: ignore[attr-defined]


def run(arguments: list, folder: Path) -> bytes:
    """Run a program to its end; returns what it printed. Raises UserError with its last words where it fails."""
    done = subprocess.run(arguments, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode:
        said = (done.stdout + done.stderr).decode("utf-8", "replace").strip()[-2000:]
        raise UserError(f"`{' '.join(map(str, arguments))}` failed (exit status {done.returncode}). It said:\n{said}")
    return done.stdout
