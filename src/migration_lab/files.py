"""Files and folders: written whole or not at all, listed in a stable order, told apart by their content."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

CACHES = {"__pycache__", ".ipynb_checkpoints"}
LEFT_OUT = CACHES | {".laid"}  # what programs leave in a folder, this one included
IGNORED = shutil.ignore_patterns(*LEFT_OUT)


def write_whole(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file so that a reader, or a full disk, never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with open(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(name, mode)
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


def copy_into(folder: Path, source: Path) -> None:
    """Copy what a person may have written below ``source`` into a folder.

    Only the contents: what an installed package has may be read-only, and a learner's copy must not be.
    """
    for file in files_in(source):
        target = folder / file.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)


def content_digest(path: Path) -> str:
    """A digest of a file, or of every file's name and content below a folder."""
    if path.is_dir():
        return _digest((file.relative_to(path).as_posix(), file.read_bytes()) for file in files_in(path))
    return _digest([("", path.read_bytes())])


def text_digest(text: str) -> str:
    """The digest that a file with this text has."""
    return _digest([("", text.encode())])


def _digest(files: Iterable[tuple[str, bytes]]) -> str:
    digest = hashlib.sha256()
    for name, content in files:
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def copy_all(source: Path, target: Path) -> None:
    """Copy all that is in a folder, links as links, into another one; only what Python and Jupyter keep there is left out."""
    shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns(*CACHES), dirs_exist_ok=True)


def remove(folder: Path) -> None:
    """Delete a folder, if it is there."""
    if folder.exists():
        empty(folder)
        folder.rmdir()


def empty(folder: Path) -> None:
    """Delete what is in a folder, read-only files and folders too: git makes such ones."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            if sys.version_info >= (3, 12):
                shutil.rmtree(path, onexc=_delete_read_only)
            else:
                shutil.rmtree(path, onerror=_delete_read_only)
        else:
            try:
                path.unlink()
            except PermissionError:
                _delete_read_only(os.unlink, str(path))


def _delete_read_only(delete: Callable[[str], object], path: str, _: object = None) -> None:
    """Called where ``delete`` was refused: Windows keeps read-only files, other systems what is in a read-only folder."""
    if delete not in (os.unlink, os.rmdir):
        raise  # a folder that can't be read, so that nothing in it was saved
    for place in (os.path.dirname(path), path):
        if not os.path.islink(place):
            os.chmod(place, os.stat(place).st_mode | stat.S_IRWXU)
    delete(path)
