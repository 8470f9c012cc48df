"""Processes of our own, beside a notebook's kernel or a terminal."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

# A kernel's interrupt goes to its whole process group. A process that is apart ends when its parent decides it.
APART: dict[str, Any] = (
    {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP} if sys.platform == "win32" else {"process_group": 0}
)
