"""A fresh clone: its set-up, and its first start."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from migration_lab.paths import ROOT
from migration_lab.server import variables

from .learner import settings
from .measurement import Timed, timed
from .page import until_it_answers
from .program import BASE_PYTHON, run

SECONDS = 900  # that a set-up and a start may take on a slow network
SET_UP = "import sys; sys.path.insert(0, 'scripts'); import environment; environment.set_up()"
DISCARD = """
from migration_lab.server import Embedded
from migration_lab.workspace import Workspace
Embedded(Workspace()).discard()
"""


@contextmanager
def setup() -> Iterator[list[Timed]]:
    """A learner's first set-up, and bare pip into an environment that is there already; each begins with an empty cache."""
    with _elsewhere() as folder:

        def ours() -> float:
            clone = _fresh_clone(folder)
            _empty_caches(folder)
            return timed(lambda: run([BASE_PYTHON, "-c", SET_UP], clone))

        def bare() -> float:
            python = _environment(folder)
            _empty_caches(folder)
            return timed(lambda: _pip_install(python))

        yield [ours, bare]


@contextmanager
def clone() -> Iterator[list[Timed]]:
    """A learner's first start, and what a person without the lab does until JupyterLab answers: venv, pip, jupyter lab."""
    with _elsewhere() as folder, variables(settings(folder / "clone" / "work")):

        def ours() -> float:
            clone = _fresh_clone(folder)
            _empty_caches(folder)
            try:
                return until_it_answers([BASE_PYTHON, clone / "scripts" / "lab.py"], clone, SECONDS)
            finally:
                if (clone / "work" / ".lab").exists():  # the lab has begun, so there may be a server
                    run([_programs(clone / ".venv") / "python", "-c", DISCARD], clone)

        def bare() -> float:
            _empty_caches(folder)
            installing = timed(lambda: _pip_install(_environment(folder)))
            jupyter = _programs(folder / "bare") / "jupyter"
            return installing + until_it_answers([jupyter, "lab", "--allow-root"], folder)

        yield [ours, bare]


@contextmanager
def _elsewhere() -> Iterator[Path]:
    """A folder for clones and environments, with caches of its own for pip and uv."""
    with tempfile.TemporaryDirectory(prefix="migration-lab-", ignore_cleanup_errors=True) as name:
        os.chmod(name, 0o711)  # as root, the server runs as another user
        folder = Path(name)
        with variables({"PIP_CACHE_DIR": str(folder / "cache" / "pip"), "UV_CACHE_DIR": str(folder / "cache" / "uv")}):
            yield folder


def _empty_caches(folder: Path) -> None:
    shutil.rmtree(folder / "cache", ignore_errors=True)


def _fresh_clone(folder: Path) -> Path:
    """The files that git tracks, as they are now, in the place of an earlier clone."""
    clone = folder / "clone"
    shutil.rmtree(clone, ignore_errors=True)
    for name in run(["git", "ls-files", "-z"], ROOT).decode().split("\0"):
        if (ROOT / name).is_file():  # one that was deleted, but not yet in git, is listed too
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, clone / name)
    return clone


def _environment(folder: Path) -> Path:
    """The Python of a new environment that holds pip alone, in the place of an earlier one."""
    bare = folder / "bare"
    shutil.rmtree(bare, ignore_errors=True)
    run([BASE_PYTHON, "-m", "venv", bare], ROOT)
    return _programs(bare) / "python"


def _pip_install(python: Path) -> None:
    run([python, "-m", "pip", "install", "--require-hashes", "-r", ROOT / "requirements.lock"], ROOT)


def _programs(environment: Path) -> Path:
    return environment / ("Scripts" if os.name == "nt" else "bin")
