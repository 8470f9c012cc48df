"""Which notebook a kernel runs. Every kernel of the environment imports this module, so it imports next to nothing."""

from __future__ import annotations

import os
import re
import tomllib
from functools import cache

from IPython.core.interactiveshell import ExecutionInfo, InteractiveShell

from migration_lab.paths import NOTEBOOKS


def is_a_persons(shell: InteractiveShell, info: ExecutionInfo) -> bool:
    """Whether a person runs this cell. VS Code asks a kernel things of its own too, and has these not stored."""
    in_vs_code = "__vsc_ipynb_file__" in shell.user_ns or "-jvsc-" in os.environ.get("JPY_SESSION_NAME", "")
    return bool(info.store_history) or not in_vs_code


def lesson_notebook(shell: InteractiveShell) -> str | None:
    """The name of the course's notebook that this kernel runs, or None where it runs another one or none.

    A copy counts as its lesson: 11_name-Copy1.ipynb, 11_name.newer.ipynb, and a file with the lesson's former name.
    """
    # VS Code sets the variable in the notebook, Jupyter Server the one in the environment.
    said = shell.user_ns.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
    name = re.split(r"[/\\:]", str(said or ""))[-1]
    if not re.match(r"\d\d_", name):
        return None
    for number, now, known in _names():
        if re.match(rf"{number}_{re.escape(known)}(?!\w)", name):
            return f"{number}_{now}.ipynb"
    return None


@cache  # asked before and after each cell
def _names() -> list[tuple[str, str, str]]:
    """Each lesson's number and name, with every name that a copy of it may have. The course's own reader imports more."""
    with (NOTEBOOKS / "lessons.toml").open("rb") as manifest:
        lessons = tomllib.load(manifest)["lesson"]
    return [
        (lesson["number"], lesson["name"], known)
        for lesson in lessons
        for known in (lesson["name"], lesson.get("formerly"))
        if known
    ]
