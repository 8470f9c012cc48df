"""The learner's folder, ``work/``: notebooks, Alembic projects, progress and backups.

The promise kept here: nothing that a learner wrote is ever overwritten or lost.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from .course import NOTEBOOKS, ROOT
from .errors import LabError

LEFT_OUT = {"__pycache__", ".ipynb_checkpoints", ".laid"}  # what programs leave in a folder, this one included
IGNORED = shutil.ignore_patterns(*LEFT_OUT)


class Workspace:
    """One ``work/`` folder. ``LAB_WORK`` puts it elsewhere than beside the course."""

    def __init__(self, path: Path | None = None):
        self.path = Path(path or os.environ.get("LAB_WORK") or ROOT / "work").expanduser().absolute()
        self.state = self.path / ".lab"
        self.backups = self.path / "backups"
        try:
            self.state.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LabError(
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

    # Notebooks

    def refresh_notebooks(self) -> list[str]:
        """Lay the course's notebooks and its glossary into the workspace.

        Returns a sentence for each that was not simply renewed: what the learner has changed stays, and the newer one
        is laid beside it as ``*.newer.ipynb``.
        """
        with self.locked("notebooks"):
            delivered = self.read_json("notebooks.json", {})
            sentences = []
            for source in sorted([*NOTEBOOKS.glob("*.ipynb"), *NOTEBOOKS.glob("*.md")]):
                sentences += self._refresh_notebook(source, delivered)
            for source in sorted(NOTEBOOKS.glob("images/*.svg")):
                self._refresh_picture(source)
        return sentences

    def _refresh_picture(self, source: Path) -> None:
        copy = self.path / "images" / source.name
        if not copy.exists() or content_digest(copy) != content_digest(source):
            self.back_up(copy)
            write_whole(copy, source.read_text(encoding="utf-8"))

    def _refresh_notebook(self, source: Path, delivered: dict[str, str]) -> list[str]:
        copy = self.path / source.name
        newest = cells_digest(source)
        if copy.exists():
            if delivered.get(source.name) == newest:
                return []
            if cells_digest(copy) not in (newest, delivered.get(source.name)):
                beside = copy.with_suffix(f".newer{copy.suffix}")
                sentence = f"{copy.name} has changes of yours and stays; the course's newer one is {beside.name}."
                if beside.exists() and delivered.get(beside.name) == newest:
                    return [sentence]
                if saved := self._deliver(source, beside, delivered):
                    sentence += f" What stood there is saved as backups/{saved.name}."
                return [sentence]
        self._deliver(source, copy, delivered)
        return []

    def _deliver(self, source: Path, copy: Path, delivered: dict[str, str]) -> Path | None:
        """Lay a file of the course. What stood there is saved; returns where."""
        saved = self.back_up(copy)
        write_whole(copy, source.read_text(encoding="utf-8"))
        if copy.suffix == ".ipynb":
            trust(copy)
        delivered[copy.name] = cells_digest(source)
        self.write_json("notebooks.json", delivered)
        return saved

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


def write_whole(path: Path, text: str) -> None:
    """Write a file so that a reader, or a full disk, never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with open(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException as error:
        os.unlink(name)
        if isinstance(error, OSError):
            error.filename = str(path)  # nobody knows the file beside it
        raise


def files_in(folder: Path) -> list[Path]:
    """Every file below a folder that a person may have written, in a stable order."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in files if LEFT_OUT.isdisjoint(path.relative_to(folder).parts))


def content_digest(path: Path) -> str:
    """A digest of a file, or of every file's name and content below a folder."""
    digest = hashlib.sha256()
    for file in files_in(path) if path.is_dir() else [path]:
        name = file.relative_to(path).as_posix() if path.is_dir() else ""
        content = file.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def cells_digest(notebook: Path) -> str:
    """A digest of what a person writes in a notebook: its cells' text, not their outputs.

    A file that is no notebook, or none any more, counts by its text; git may have given that other ends of lines.
    """
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        text = json.dumps([[cell["cell_type"], "".join(cell["source"])] for cell in cells])
    except (ValueError, KeyError, TypeError):
        return hashlib.sha256(notebook.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
    return hashlib.sha256(text.encode()).hexdigest()


def trust(notebook: Path) -> None:
    """Sign a notebook of the course, so that JupyterLab shows its stored pictures; without, it shows them once run."""
    import sqlite3

    import nbformat
    from nbformat.sign import NotebookNotary

    with suppress(OSError, sqlite3.Error):  # the signatures are kept in the home folder, which may be full
        notary = NotebookNotary()
        notary.sign(nbformat.read(notebook, as_version=4))
        notary.store.close()
