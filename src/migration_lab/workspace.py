"""The learner's folder: notebooks, Alembic projects, progress and backups.

The promise kept here: nothing that a learner wrote is ever overwritten or lost.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from migration_lab import tag as tags
from migration_lab.files import IGNORED, content_digest, files_in, write_whole
from migration_lab.paths import CLONE
from migration_xray.errors import UserError

T = TypeVar("T")


def usual_folder() -> Path:
    """Where a learner's folder is if LAB_WORK does not say: ``work/`` in a clone of one's own, else in one's home.

    Several people may use one installation: the image of a hub, a colleague's clone, an installed package. What they
    have in common is not theirs, and each of them needs a folder.
    """
    return CLONE / "work" if CLONE and is_own(CLONE) else Path("~/migration-lab")


def is_own(clone: Path) -> bool:
    """Whether a clone is this user's own: owned by this user, and writable.

    Root may use any clone that it can write to: in a container, a clone that is mounted often belongs to another user.
    """
    if sys.platform == "win32":  # os.access knows nothing of Windows' access control lists
        try:
            tempfile.TemporaryFile(dir=clone).close()
            return True
        except OSError:
            return False
    return os.geteuid() in (0, clone.stat().st_uid) and os.access(clone, os.W_OK)


class Workspace:
    """One learner's folder: what ``path`` or LAB_WORK says, or the usual one."""

    def __init__(self, path: Path | None = None):
        place = Path(path or os.environ.get("LAB_WORK") or usual_folder())
        try:
            self.path = place.expanduser().absolute()
        except RuntimeError:  # neither HOME nor the system's list of users says where the home is
            raise UserError(
                f"This user has no home folder, so {place} can't be found. Set LAB_WORK to a folder of yours."
            ) from None
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
        """Six letters that tell this workspace's databases from another's on a shared server.

        A folder that is a copy gets a tag of its own here, and its user a sentence about it.
        """
        path = self.state / "tag"
        here = tags.place(self.state)
        known = self._known()
        if known.items() >= here.items():
            return known["tag"]
        with self.locked("tag"):  # two that start at once must not each go on with a tag of their own
            known = self._known()
            if not known.get("tag"):
                known = tags.new(self.state)
            elif "path" in known and (why := tags.why_a_copy(known, here)):
                self.back_up(path)
                print(_copied(self.path, why, known["tag"]), file=sys.stderr)
                known = tags.new(self.state)
            write_whole(path, json.dumps(known | here, ensure_ascii=False) + "\n")
        return known["tag"]

    def _known(self) -> dict[str, str]:
        try:
            return tags.read((self.state / "tag").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}

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

    def read_json(self, name: str, default: T) -> T:
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

    def write_json(self, name: str, value: Any) -> None:
        write_whole(self.state / name, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def _copied(folder: Path, why: str, tag: str) -> str:
    return (
        f"{folder} seems to be a copy: {why}. It gets databases of its own on a server that it shares with others, and "
        f"lessons open there at their start. The names of the databases that it had there end in _{tag}. "
        f"To use those from here again, write {tag} into {folder / '.lab' / 'tag'}."
    )
