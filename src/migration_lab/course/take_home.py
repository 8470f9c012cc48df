"""The project to take home: ``lab template DIR`` writes a production-ready Alembic project into any folder.

What is written are the files of ``take_home/``, as they are; none of them needs this kit.
"""

from __future__ import annotations

import os
from pathlib import Path

from migration_lab.files import files_in
from migration_lab.paths import PACKAGE
from migration_xray.errors import UserError

FILES = PACKAGE / "take_home"


def write_project(folder: Path) -> list[Path]:
    """Write the project into a folder, all of it or nothing; returns the files' paths in it.

    Raises UserError where one of its files is there already, whatever is in it.
    """
    names = [file.relative_to(FILES) for file in files_in(FILES)]
    _refuse_files(folder)
    if there := [name for name in names if os.path.lexists(folder / name)]:
        raise UserError(
            f"In {folder} there is already: {', '.join(map(str, there))}. Nothing was written. Choose a folder without "
            "them, such as a new one in there."
        )
    made: list[Path] = []
    try:
        for name in names:
            _make_folders((folder / name).parent, made)
            with open(folder / name, "xb") as file:
                made.append(folder / name)
                file.write((FILES / name).read_bytes())
    except BaseException:
        for path in reversed(made):
            path.rmdir() if path.is_dir() else path.unlink()
        raise
    return names


def _refuse_files(folder: Path) -> None:
    """A file where a folder should be is told by its name."""
    folders = [*reversed(folder.parents), folder, *(folder / name for name in sorted(_folders()))]
    for path in folders:
        if os.path.lexists(path) and not path.is_dir():
            raise UserError(
                f"{path} is a file, and a folder is needed there. Nothing was written. Choose another folder."
            )


def _folders() -> set[Path]:
    return {parent for file in files_in(FILES) for parent in file.relative_to(FILES).parents}


def _make_folders(folder: Path, made: list[Path]) -> None:
    for path in [*reversed(folder.parents), folder]:
        if not path.is_dir():
            path.mkdir()
            made.append(path)
