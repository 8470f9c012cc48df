"""The revision files of a project, read as text: nothing of them runs here."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from migration_lab.files import files_in
from migration_xray.words import listed

VERSIONS = Path("migrations", "versions")
LONGEST = 1_000_000  # bytes of a file that is read: parsing takes a hundred times as much memory
LOOKS_LIKE_ONE = re.compile(rb"^(down_)?revision\b[^\n]*=[\s\S]*^def (up|down)grade\b", re.MULTILINE)


@dataclass(frozen=True)
class Script:
    """A revision file: its path in the project, its identifiers, and the names that it has at its top level.

    ``revision`` and ``down`` are None where the file does not say them, or not as literals; ``down`` is () for a base.
    """

    file: str
    revision: str | None
    down: tuple[str, ...] | None
    names: frozenset[str]

    @property
    def module(self) -> str:
        """What Alembic calls the file's module."""
        return re.sub(r"\W", "_", Path(self.file).name)


def scripts(project: Path) -> list[Script]:
    """The files that Alembic takes for revisions. One that can't be read as Python is left out."""
    return [script for file in _seen_by_alembic(project) if (script := _script(file, project))]


def unseen(project: Path, given: set[str]) -> list[str]:
    """The files that look like revisions, are where Alembic does not look, and are none of the ``given`` ones."""
    seen = set(_seen_by_alembic(project))
    others = (file for file in files_in(project) if file not in seen and file.stat().st_size <= LONGEST)
    names = (file.relative_to(project).as_posix() for file in others if LOOKS_LIKE_ONE.search(file.read_bytes()))
    return [name for name in names if name not in given]


def doubles(project: Path) -> dict[str, list[str]]:
    """The revision ids that more than one file has, and those files."""
    files: dict[str, list[str]] = defaultdict(list)
    for script in scripts(project):
        if script.revision is not None:
            files[script.revision].append(script.file)
    return {revision: names for revision, names in files.items() if len(names) > 1}


def overlooked(project: Path, given: set[str]) -> str | None:
    """What Alembic does not run of a project, in a sentence; None where it sees all that looks like a revision."""
    if files := unseen(project, given):
        return (
            f"Alembic does not see {listed(files)}: it reads the files in migrations/versions whose names end in .py, and "
            "no others."
        )
    for revision, names in doubles(project).items():
        return f"{listed(names)} have the same revision, {revision!r}, and Alembic runs only one of them."
    return None


def mentions(project: Path, given: Mapping[str, bytes], pattern: str) -> str | None:
    """The first file of an answer, one that is not as it was ``given``, whose text has this pattern."""
    for file in files_in(project):
        name = file.relative_to(project).as_posix()
        if name in given and given[name].strip() == file.read_bytes().strip():
            continue
        if re.search(pattern, file.read_text(encoding="utf-8", errors="replace"), re.IGNORECASE):
            return name
    return None


def _seen_by_alembic(project: Path) -> list[Path]:
    """The files in the folder of revisions itself that end in .py, as Alembic lists them."""
    return [file for file in sorted((project / VERSIONS).glob("*.py")) if not file.name.startswith((".#", "__init__"))]


def _script(file: Path, project: Path) -> Script | None:
    try:
        body = ast.parse(file.read_bytes()).body if file.stat().st_size <= LONGEST else []
    except (SyntaxError, ValueError, RecursionError, MemoryError, OSError):
        return None
    assigned: dict[str, ast.expr | None] = {}
    names: set[str] = set()
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(statement.name)
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in statement.names)
        elif isinstance(statement, ast.Assign):
            for target in statement.targets:
                assigned |= _pairs(target, statement.value)
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            assigned[statement.target.id] = statement.value
    down = _literal(assigned.get("down_revision"), "down_revision" in assigned)
    return Script(
        file.relative_to(project).as_posix(),
        revision if isinstance(revision := _literal(assigned.get("revision"), True), str) else None,
        (down,) if isinstance(down, str) else down if isinstance(down, tuple) else None,
        frozenset(names | assigned.keys()),
    )


def _pairs(target: ast.expr, value: ast.expr) -> dict[str, ast.expr | None]:
    """What an assignment gives to which name, also in ``revision, down_revision = "b", "a"``."""
    if isinstance(target, ast.Name):
        return {target.id: value}
    if isinstance(target, ast.Tuple):
        values = value.elts if isinstance(value, ast.Tuple) else [None] * len(target.elts)
        return {one.id: said for one, said in zip(target.elts, values, strict=False) if isinstance(one, ast.Name)}
    return {}


def _literal(value: ast.expr | None, is_there: bool) -> object:
    """A literal's value, () for None where it is there; None for what has to be computed."""
    try:
        said = ast.literal_eval(value) if value else None
    except ValueError:
        return None
    if isinstance(said, list | tuple):
        return tuple(map(str, said))
    return () if said is None and value is not None and is_there else said
