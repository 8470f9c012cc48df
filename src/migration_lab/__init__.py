"""Migration Lab: learn to change a live PostgreSQL database without hurting it.

The kernels of its environment have the verbs; elsewhere ``%load_ext migration_lab`` registers them in a notebook. In a
terminal, ``lab`` has the same ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from IPython.core.interactiveshell import InteractiveShell

    from migration_xray.trace import Trace
    from migration_xray.traffic import Comparison, Felt


def last_trace() -> Trace:
    """What ``%xray`` saw last in this notebook, as data. Raises UserError before there is anything."""
    from migration_xray.watch import last_trace

    return last_trace()


def last_traffic() -> Felt:
    """What the application felt of the last ``%%traffic`` in this notebook. Raises UserError before there was any."""
    from migration_xray.traffic import last_traffic

    return last_traffic()


def compare(ways: dict[str, Felt | list[Felt]], rows_wrong: Sequence[int] | None = None) -> Comparison:
    """Ways of making a change side by side, as a table: {"as the template has it": last_traffic(), …}.

    A way that takes several ``%%traffic`` cells is a list of what each gave; ``rows_wrong`` is, for each way, how many rows
    it left wrong.
    """
    from migration_xray.traffic import Comparison

    return Comparison(ways, rows_wrong)


def load_ipython_extension(ipython: InteractiveShell) -> None:
    """Register the lab's magics and a ready ``%sql`` in this kernel."""
    from migration_lab.notebook import register

    register(ipython)
