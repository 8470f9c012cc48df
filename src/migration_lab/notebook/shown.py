"""What a notebook shows of the data that x-ray and traffic give: a trace as its report, what was felt as its chart."""

from __future__ import annotations

from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from migration_xray.reports import as_html, as_text
from migration_xray.trace import Trace
from migration_xray.traffic import Felt, chart


def register(shell: InteractiveShell) -> None:
    """Teach a shell to show a Trace and a Felt."""
    assert shell.display_formatter is not None  # a shell makes it in its __init__
    formatter = shell.display_formatter.mimebundle_formatter
    formatter.for_type(Trace, _report)
    formatter.for_type(Felt, _chart)


def _report(trace: Trace) -> dict[str, str]:
    return {"text/plain": as_text(trace), "text/html": as_html(trace)}


def _chart(felt: Felt) -> tuple[dict[str, Any], dict[str, Any]]:
    return chart.bundle(felt)
