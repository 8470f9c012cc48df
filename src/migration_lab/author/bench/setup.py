"""Setting up a fresh clone."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from migration_lab.paths import ROOT
from migration_lab.server import variables

from .measurement import Timed, timed
from .program import run


@contextmanager
def setup() -> Iterator[list[Timed]]:
    """A learner's first set-up, and bare pip into an environment that is there already; each begins with an empty cache."""
    with tempfile.TemporaryDirectory(prefix="migration-lab-", ignore_cleanup_errors=True) as folder:
        clone, bare, cache = (Path(folder) / name for name in ("clone", "bare", "cache"))
        code = "import sys; sys.path.insert(0, 'scripts'); import environment; environment.set_up()"
        caches = {"PIP_CACHE_DIR": str(cache / "pip"), "UV_CACHE_DIR": str(cache / "uv")}

        def fetched(program: list, folder: Path) -> float:
            shutil.rmtree(cache, ignore_errors=True)
            with variables(caches):
                return timed(lambda: run(program, folder))

        def ours() -> float:
            shutil.rmtree(clone, ignore_errors=True)
            for name in ("scripts", "src"):
                shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
            (clone / "tests").mkdir()
            for name in ("pyproject.toml", "requirements.lock", "tests/requirements.lock", "README.md", "LICENSE"):
                shutil.copy(ROOT / name, clone / name)
            return fetched([sys._base_executable, "-c", code], clone)

        def pip() -> float:
            shutil.rmtree(bare, ignore_errors=True)
            run([sys._base_executable, "-m", "venv", bare], ROOT)
            python = bare / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
            install = [python, "-m", "pip", "install", "--require-hashes", "-r", ROOT / "requirements.lock"]
            return fetched(install, ROOT)

        yield [ours, pip]
