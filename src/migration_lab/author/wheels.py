"""For authors: both packages as wheels in ``dist/``, from which they install without a clone."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from migration_lab.paths import clone
from migration_xray.errors import UserError
from migration_xray.words import megabytes

PROJECTS = {"migration_lab": ".", "migration_xray": "src/migration_xray"}  # where each one's pyproject.toml is


def main(arguments: list[str] | None = None) -> int:
    """Build both wheels and print where they are and how large."""
    parser = argparse.ArgumentParser("wheels.py", description="Build both packages as wheels in dist/.")
    parser.parse_args(arguments)
    try:
        for wheel in build(clone()):
            print(f"{wheel.relative_to(clone())}  {megabytes(wheel.stat().st_size)}")
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"The wheels could not be written: {error}", file=sys.stderr)
        return 1
    return 0


def build(root: Path) -> list[Path]:
    """Build the wheels of the clone ``root`` in the place of those of an earlier build; returns their paths.

    Raises UserError with hatchling's last lines where a build fails.
    """
    dist = root / "dist"
    wheels: list[Path] = []
    for package, place in PROJECTS.items():
        for earlier in dist.glob(f"{package}-*.whl"):
            earlier.unlink()
        _hatchling(root / place, dist)
        wheels += dist.glob(f"{package}-*.whl")
    return wheels


def _hatchling(project: Path, dist: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(dist)]
    done = subprocess.run(
        command,
        cwd=project,
        env=os.environ | {"PYTHONUTF8": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    if done.returncode:
        said = "\n".join(f"  {line}" for line in done.stdout.strip().splitlines()[-8:]) or "  nothing"
        raise UserError(
            f"The wheel of {project} was not built: hatchling failed (exit status {done.returncode}):\n{said}"
        )


if __name__ == "__main__":
    raise SystemExit(main())
