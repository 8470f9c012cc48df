"""What a notebook shows of the data that the course works with: reports, charts, the rows of a query, a program's lines."""

from __future__ import annotations

from html import escape
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.display import display
from IPython.utils.text import SList

from migration_xray.markup import BOX, text_table
from migration_xray.reports import as_html, as_text
from migration_xray.trace import Trace
from migration_xray.traffic import Felt, chart

from . import figures
from .ipythonsql import ResultSet


def register(shell: InteractiveShell) -> None:
    """Teach a shell to show them."""
    assert shell.display_formatter is not None  # a shell makes it in its __init__
    bundles = shell.display_formatter.mimebundle_formatter
    bundles.for_type(Trace, _report)
    bundles.for_type(Felt, chart.bundle)
    plain, html = (shell.display_formatter.formatters[kind] for kind in ("text/plain", "text/html"))
    # These two are lists, whose text IPython makes itself where a bundle has another.
    plain.for_type(ResultSet, lambda result, printer, _: printer.pretty(_values(result)))
    html.for_type(ResultSet, _table)
    plain.for_type(SList, lambda lines, printer, _: printer.text("\n".join(lines)))
    html.for_type(SList, _preformatted)
    # By their names, because pandas and matplotlib take their time, and most lessons use neither. The formatter for a figure
    # comes before those that matplotlib's own support for notebooks sets.
    html.for_type_by_name("pandas", "DataFrame", _frame)
    shell.display_formatter.ipython_display_formatter.for_type_by_name("matplotlib.figure", "Figure", _figure)


def _report(trace: Trace) -> dict[str, str]:
    return {"text/plain": as_text(trace), "text/html": as_html(trace)}


class _Null:
    """NULL, as SQL writes what Python calls None."""

    def __repr__(self) -> str:
        return "NULL"


def _values(result: ResultSet) -> list[tuple[Any, ...]]:
    """The rows that a query of %sql gave."""
    return [tuple(_Null() if value is None else value for value in row) for row in result]


def _table(result: ResultSet) -> str | None:
    if not result.pretty:  # the statement had no rows to give
        return None
    return text_table(result.field_names, [map(str, row) for row in _values(result)])


def _preformatted(lines: SList) -> str:
    """What a program printed, as ``!!psql -c "\\d users"`` gives it: psql's tables are wide, and no line of them breaks."""
    text = escape("\n".join(lines))
    return f'{BOX}<pre style="white-space: pre">{text}</pre></div>'


def _frame(frame: Any) -> str | None:
    """A table as pandas writes it, in a box that scrolls sideways."""
    table = frame._repr_html_()  # None where the person has set that pandas writes no HTML
    return table and f"{BOX}{table}</div>"


def _figure(figure: Any) -> None:
    display(figures.bundle(figure), raw=True)
