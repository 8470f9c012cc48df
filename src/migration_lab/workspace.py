"""The learner's folder, ``work/``: notebooks, Alembic projects, progress and backups.

The promise kept here: nothing that a learner wrote is ever overwritten or lost.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from migration_lab.files import IGNORED, content_digest, files_in, write_whole
from migration_lab.paths import ROOT
from migration_xray.errors import UserError


class Workspace:
    """One ``work/`` folder. ``LAB_WORK`` puts it elsewhere than beside the course."""

    def __init__(self, path: Path | None = None):
        self.path = Path(path or os.environ.get("LAB_WORK") or ROOT / "work").expanduser().absolute()
        self.state = self.path / ".lab"
        self.backups = self.path / "backups"
        try:
            self.state.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"The learner's folder {self.path} can't be made ({error.strerror}). "
                "Put it where you may write: set LAB_WORK to a folder of yours and start again."
            ) from None

    @property
    def tag(self) -> str:
        """Six letters that tell this workspace's databases from another's on a shared server."""
        path = self.state / "tag"
        if not path.exists():
            with self.locked("tag"):  # two that start at once must not each go on with a tag of their own
                if not path.exists():
                    write_whole(path, secrets.token_hex(3))
        return path.read_text(encoding="utf-8").strip()

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        """Hold a lock that every process of this workspace respects; a process that dies lets go of it."""
        import fasteners

        with fasteners.InterProcessLock(self.state / f"{name}.lock"):
            yield

    def project(self, place: str) -> Path:
        return self.path / "projects" / place

    # Backups

    def back_up(self, path: Path) -> Path | None:
        """Save a file or folder under ``backups/``, unless one of its backups is the same already.

        Returns where it is saved, or None where there is nothing in it to save.
        """
        if not path.exists() or (path.is_dir() and not files_in(path)):
            return None
        self.backups.mkdir(exist_ok=True)
        digest = content_digest(path)
        # All of them: a clock that jumped may have put them in any order.
        for earlier in self.backups.glob(f"{path.stem}-*{path.suffix}"):
            if content_digest(earlier) == digest:
                return earlier
        target = self._backup_name(path)
        with tempfile.TemporaryDirectory(dir=self.backups, prefix=".saving-") as saving:
            if path.is_dir():
                shutil.copytree(path, Path(saving) / "copy", symlinks=True, ignore=IGNORED)
            else:
                shutil.copy2(path, Path(saving) / "copy")
            (Path(saving) / "copy").rename(target)
        return target

    def _backup_name(self, path: Path) -> Path:
        """A name that no backup has yet; the clock may stand still or jump back."""
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S-%f")
        count = 0
        while True:
            target = self.backups / f"{path.stem}-{stamp}{f'-{count}' if count else ''}{path.suffix}"
            if not target.exists():
                return target
            count += 1

    # Small files of the lab's own

    def read_json(self, name: str, default):
        """What ``.lab/NAME`` holds; a file that can't be read is set aside as a backup, never deleted."""
        path = self.state / name
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return default
        except ValueError:
            value = None
        if isinstance(value, type(default)):
            return value
        self.back_up(path)
        return default

    def write_json(self, name: str, value) -> None:
        write_whole(self.state / name, json.dumps(value, indent=1, ensure_ascii=False) + "\n")
