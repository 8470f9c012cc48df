"""Files and folders: written whole or not at all, listed in a stable order, told apart by their content."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

LEFT_OUT = {"__pycache__", ".ipynb_checkpoints", ".laid"}  # what programs leave in a folder, this one included
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
    digest = hashlib.sha256()
    for file in files_in(path) if path.is_dir() else [path]:
        name = file.relative_to(path).as_posix() if path.is_dir() else ""
        content = file.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()
