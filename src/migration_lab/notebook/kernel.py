"""What every kernel of the lab's environment has from its start, without ``%load_ext``: the verbs, and two hooks.

Such a kernel may belong to a notebook that has nothing to do with the course. So this module imports next to nothing:
the magics, with SQLAlchemy and Alembic behind them, are imported at the first verb, or by the first cell of a lesson.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet

from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell

from .own_notebook import is_a_persons, lesson_notebook

if TYPE_CHECKING:
    from .magics import LabMagics

VERBS = (
    "alembic", "answer", "check", "exercise", "golf", "hint", "lesson", "locks", "predict", "progress", "revisions", "schema",
    "session", "solution", "sql", "traffic", "xray",
)  # fmt: skip

_hooked: WeakSet[InteractiveShell] = WeakSet()


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Called when a kernel starts: etc/ipython/ipython_config.py names this package."""
    # IPython loads this module, as %load_ext does, when one of the verbs is first used. It is not `migration_lab`, of
    # which a %load_ext in an old copy of a lesson would print that it is loaded already.
    shell.magics_manager.lazy_magics.update(dict.fromkeys(VERBS, f"{__package__}.magics"))
    _hook(shell)


def register(shell: InteractiveShell) -> None:
    """Give a shell the magics and the hooks, if it does not have them yet. ``%load_ext migration_lab`` calls this."""
    if not _magics(shell):
        from . import magics

        magics.load_ipython_extension(shell)
    _hook(shell)


def _hook(shell: InteractiveShell) -> None:
    """Have the lab look at each cell before and after it runs, once for each shell."""
    if shell in _hooked:
        return
    _hooked.add(shell)

    def before(info: ExecutionInfo) -> None:
        magics = _magics(shell)
        if magics:
            magics.running = info
        if (magics and magics.opened) or not is_a_persons(shell, info) or not lesson_notebook(shell):
            return
        from .going_on import go_on

        register(shell)
        if magics := _magics(shell):
            go_on(magics, info)

    def after(result: ExecutionResult) -> None:
        if (magics := _magics(shell)) and result.info and is_a_persons(shell, result.info):
            from .going_on import look_back

            look_back(magics, result.info, result.error_before_exec or result.error_in_exec)

    shell.events.register("pre_run_cell", before)
    shell.events.register("post_run_cell", after)


def _magics(shell: InteractiveShell) -> LabMagics | None:
    return shell.magics_manager.registry.get("LabMagics")
