"""What Python refuses in a migration: names, modules, and a process that was forked."""

from __future__ import annotations

import builtins
import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from migration_xray.errors import AlembicError
from migration_xray.words import nearest

from .scripts import Script, mentions, scripts

if TYPE_CHECKING:
    from ..graded import Graded

IMPORTS = {
    "sa": "import sqlalchemy as sa",
    "op": "from alembic import op",
    "sqlalchemy": "import sqlalchemy",
    "context": "from alembic import context",
    "postgresql": "from sqlalchemy.dialects import postgresql",
    "text": "from sqlalchemy import text",
}
PYTHONS_OWN = {"true": "True", "false": "False", "null": "None", "none": "None", "NULL": "None"}

# libpq's and psycopg's words for a session that ended without a word from the server, which is no error of SQL.
LOST = re.compile("connection (is|was|has been) (closed|lost)|closed the connection|consuming input failed")


def of_python(error: AlembicError, project: Path) -> str | None:
    said, script = error.sentence, _script_at(error, project)
    if name := re.match(r"NameError: name '(\w+)' is not defined", said):
        return _unknown_name(name[1], script)
    if name := re.match(r"ModuleNotFoundError: No module named '([\w.]+)'", said):
        return _unknown_module(name[1], project)
    if attribute := re.match(r"AttributeError: module '(alembic\.op|sqlalchemy[\w.]*)' has no attribute '(\w+)'", said):
        return (
            f"{attribute[1]} has no {attribute[2]}.{nearest(attribute[2], dir(importlib.import_module(attribute[1])))}"
        )
    return None


def _unknown_name(name: str, script: Script | None) -> str | None:
    if script is None or name in script.names:
        return None
    if name in IMPORTS:
        return f"{script.file} does not import {name}. Add this line at its top: `{IMPORTS[name]}`."
    if name in PYTHONS_OWN:
        return f"Python writes {PYTHONS_OWN[name]}, not {name}."
    near = nearest(name, [*script.names, *dir(builtins)])
    return f"Nothing in {script.file} defines {name}.{near}"


def _unknown_module(name: str, project: Path) -> str:
    if name.partition(".")[0] in ("psycopg2", "psycopg2_binary", "asyncpg", "pg8000"):
        return "The lab's driver for PostgreSQL is psycopg, version 3. In a migration, `op.execute()` is enough."
    own = {file.stem for file in project.glob("*.py")} | {file.parent.name for file in project.glob("*/__init__.py")}
    near = nearest(name, {"sqlalchemy", "alembic", "psycopg", *own})
    return f"There is neither a package {name} in the lab's Python nor such a module in the project.{near}"


def _script_at(error: AlembicError, project: Path) -> Script | None:
    file = (error.where or "").rpartition(", line ")[0]
    return next((script for script in scripts(project) if script.file == file), None)


def of_a_lost_session(error: AlembicError, db: Graded) -> str | None:
    if LOST.search(error.sentence) and (file := mentions(db.project, db.given, r"\bfork\b|multiprocessing")):
        return f"{file} forks its process. The child has the same session, and two processes can't share one."
    return None
