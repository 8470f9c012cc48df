"""Where the set-up finds what it needs and puts what it makes, and how much room that takes."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEARNERS_LOCK = ROOT / "requirements.lock"
TESTS_LOCK = ROOT / "tests" / "requirements.lock"  # the learners' packages, and those that only tests need
UV_LOCK = ROOT / "scripts" / "requirements.lock"
PACKAGES = ("src/migration_xray", ".")  # the folders of this repository's own packages, each after those that it needs

VENV = ROOT / ".venv"
if os.name == "nt":
    PROGRAMS = VENV / "Scripts"
    PYTHON = PROGRAMS / "python.exe"
    UV = PROGRAMS / "uv.exe"
    SITE_PACKAGES = VENV / "Lib" / "site-packages"
else:
    PROGRAMS = VENV / "bin"
    PYTHON = PROGRAMS / "python"
    UV = PROGRAMS / "uv"
    SITE_PACKAGES = VENV / "lib" / Path(os.__file__).parent.name / "site-packages"
STAMP = VENV / "finished"
LOG = VENV / "setup.log"
OWN_CACHE = VENV / "cache"

# Measured on Linux with du after a first start, and rounded up. pip, but not uv, keeps its downloads beside .venv until it
# is done.
LEARNERS_MB = 600
TESTS_MB = 300
DOWNLOADS_MB = 200
LARGEST_PACKAGE_MB = 100


def base_python():
    """The Python that made .venv or will make it: sys.executable may be .venv's own, and goes with it."""
    return sys._base_executable
