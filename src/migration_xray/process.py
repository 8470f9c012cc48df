"""Processes of our own, beside a notebook's kernel or a terminal."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

# A kernel's interrupt goes to its whole process group. A process that is apart ends when its parent decides it.
APART: dict[str, Any] = {"process_group": 0}
if sys.platform == "win32":
    APART = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
