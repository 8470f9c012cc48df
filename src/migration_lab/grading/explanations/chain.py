"""What Alembic itself refuses: the chain of revisions, or a file as a revision."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from migration_xray.errors import AlembicError
from migration_xray.words import listed, nearest

from .leftovers import looked_up, search_path
from .scripts import VERSIONS, Script, doubles, mentions, overlooked, scripts

if TYPE_CHECKING:
    from ..graded import Graded


def of_alembic(error: AlembicError, db: Graded) -> str | None:
    """What is wrong with the chain of revisions, or with a file as a revision."""
    said, found = error.sentence, scripts(db.project)
    if key := re.match(r"KeyError: (.+)", said):
        return _dangling(key[1].strip("'\""), found)
    for revision, files in doubles(db.project).items():
        if "present more than once" in error.printed or revision in said:
            return f"{listed(files)} have the same revision, {revision!r}. Each file needs one of its own."
    if "Multiple head" in said:
        return _heads(found)
    if re.match(r"FAILED: (Dependency )?(cycle|self-loop)", said, re.IGNORECASE):
        return _circle(said, found)
    if name := re.search(r"Could not determine revision id from filename (\S+\.py)", said):
        return _no_identifiers(name[1], db.project)
    if missing := re.search(r"locate revision identified by '([^']+)'", said):
        known = listed(sorted(_ids(found)))
        unseen = overlooked(db.project, set(db.given))
        return unseen or f"No file in migrations/versions has the revision {missing[1]!r}. There are {known}."
    if attribute := re.match(r"AttributeError: module '(\w+)' has no attribute '(\w+)'", said):
        return _missing_name(attribute[1], attribute[2], found)
    if "not a valid downgrade target" in said:
        return looked_up(db, search_path)
    if "expected to match one row" in said and (file := mentions(db.project, db.given, "alembic_version")):
        return f"Alembic keeps account of revisions in the table alembic_version. {file} writes to it: leave it to Alembic."
    return None


def _dangling(key: str, found: list[Script]) -> str | None:
    """A down_revision that is in no file: which file says it, and what it may mean."""
    known = _ids(found)
    says = [script for script in found if script.down and key in script.down]
    if not says or key in known:
        return None
    if "," in key and known.issuperset(re.findall(r"[\w.-]+", key)):
        parents = ", ".join(map(repr, re.findall(r"[\w.-]+", key)))
        return (
            f"{says[0].file} has several parents in one text. They are a tuple of texts: down_revision = ({parents})."
        )
    if known == {says[0].revision}:
        return (
            f"{says[0].file} says down_revision = {key!r}, and there is no other revision. The first revision of all follows "
            "nothing: down_revision = None."
        )
    by_file = next((one for one in found if Path(one.file).stem == key.removesuffix(".py")), None)
    if by_file and by_file.revision:
        return (
            f"{says[0].file} says down_revision = {key!r}, which is the name of a file. down_revision takes the revision "
            f"that is written in the file: {by_file.revision!r}."
        )
    near = nearest(key, sorted(known - {says[0].revision or ""}))
    return (
        f"{says[0].file} says down_revision = {key!r}, and no file in migrations/versions has that revision. "
        f"There are {listed(sorted(known))}.{near}"
    )


def _heads(found: list[Script]) -> str | None:
    followed = {parent for script in found for parent in script.down or ()}
    heads = [script for script in found if script.revision and script.revision not in followed]
    if len(heads) < 2:
        return None
    ends = [f"{script.file} (down_revision = {_shown_down(script)})" for script in heads]
    return f"No file follows {listed(ends)}, so there are {len(heads)} heads, and `head` means one."


def _circle(said: str, found: list[Script]) -> str | None:
    names = re.findall(r"\(([^)]*)\)", said)
    chain = {name.strip() for name in (names[-1].split(",") if names else [])}
    says = [f"{one.file} follows {_shown_down(one)}" for one in found if one.revision in chain]
    if len(says) == 1:
        return f"{says[0]}, which is its own revision. down_revision names the one before it."
    return f"{listed(says)}. One of them has to follow a revision outside of this circle." if says else None


def _no_identifiers(name: str, project: Path) -> str:
    file = project / VERSIONS / name
    if file.is_file() and not file.read_bytes().strip():
        return f"{name} is empty."
    return (
        f"{name} does not assign `revision`. A revision file says its own id, and in `down_revision` the one before it."
    )


def _missing_name(module: str, name: str, found: list[Script]) -> str | None:
    script = next((one for one in found if one.module == module), None)
    if script is None or name in script.names:
        return None
    if name in ("upgrade", "downgrade"):
        return f"{script.file} has no function {name}().{nearest(name, script.names)}"
    return f"{script.file} does not assign `{name}`.{nearest(name, script.names)}"


def _ids(found: Iterable[Script]) -> set[str]:
    return {script.revision for script in found if script.revision}


def _shown_down(script: Script) -> str:
    if script.down is None:
        return "something that is computed"
    return " and ".join(map(repr, script.down)) or "None"
