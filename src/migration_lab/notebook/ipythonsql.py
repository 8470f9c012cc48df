"""ipython-sql's ``%sql``, without what a kernel of the lab would load and never use."""

from __future__ import annotations

import sys
from typing import Any
from unittest.mock import patch

from IPython.core.interactiveshell import InteractiveShell

# ipython-sql imports pandas for --persist alone, and goes on where there is none. It would be a third of the time in
# which a notebook's first cell gets ready.
with patch.dict(sys.modules, {"pandas.core.frame": sys.modules.get("pandas.core.frame")}):
    from sql import magic
    from sql.connection import Connection
    from sql.run import ResultSet

from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData

__all__ = ["Connection", "ResultSet", "Sql"]


class _Rows(IteratorResult):
    """Rows that come from no statement, for a ResultSet."""

    returns_rows = True


class Sql(magic.SqlMagic):  # type: ignore[misc]  # ipython-sql has no types
    """``%sql`` that prints neither its connection nor a count of rows, and of an error only the server's words."""

    def __init__(self, shell: InteractiveShell):
        super().__init__(shell)
        self.displaycon = self.feedback = False
        self.short_errors = True

    def rows(self, columns: list[str], rows: list[list[Any]]) -> ResultSet:
        """What a query gave earlier, as if it had just given it."""
        return with_null(ResultSet(_Rows(SimpleResultMetaData(columns), map(tuple, rows)), self))

    def _persist_dataframe(self, *arguments: Any, **named: Any) -> Any:
        import pandas

        magic.DataFrame, magic.Series = pandas.DataFrame, pandas.Series
        return super()._persist_dataframe(*arguments, **named)


def with_null(result: Any) -> Any:
    """The same result; what ``print`` shows of it has NULL where a cell shows NULL."""
    if drawn := getattr(result, "pretty", None):
        drawn.none_format = "NULL"
    return result
