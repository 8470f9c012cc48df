"""Watch what an Alembic command does to the server, statement by statement, from the server's own words and catalogs.

Everything comes from four witnesses, none of them the SQL text: what PostgreSQL says at ``client_min_messages = debug1``,
which the migration's own session is set to; ``pg_locks`` and ``pg_blocking_pids``, read from a second session;
``pg_relation_filenode`` before and after; and the rows that PostgreSQL counts in the migration's session, which is asked for
them after a statement. Nothing but that setting and that question ever reaches the migration's session. It takes the locks
that it would take anyway, and a transaction has no snapshot earlier than its own first statement on a table.
"""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, ExceptionContext, event
from sqlalchemy.pool import Pool

from migration_xray.errors import DEADLOCK, UserError, sqlstate
from migration_xray.trace import Failure, Statement, Trace

from .backend import Backend
from .leftovers import Leftovers

ENDS = {
    **{"do_commit": "committed", "do_commit_twophase": "committed"},
    **{"do_rollback": "rolled back", "do_rollback_twophase": "rolled back"},
}

_last: Trace | None = None


@contextmanager
def watching(command: str, announce: Callable[[str], None] | None = None) -> Iterator[Trace]:
    """Watch what SQLAlchemy's engines do to PostgreSQL in this thread and in those that it starts.

    The trace is whole when the context ends. An exception passes through, told in ``trace.error``; the trace then has what
    happened before it. ``announce`` is called with a sentence, from another thread, when a statement has waited for a lock for
    a second, once for each session that it waits for. Raises UserError where an engine is not PostgreSQL's, or the server
    refuses the second session.
    """
    global _last
    trace = _last = Trace(command, time.monotonic())
    watch = _Watch(trace, announce)
    watch.begin()
    try:
        yield trace
    except KeyboardInterrupt:
        trace.error = "interrupted"
        raise
    except BaseException as error:
        trace.error = str(error).strip() or type(error).__name__
        trace.sqlstate = sqlstate(getattr(error, "orig", None) or error)
        raise
    finally:
        watch.end()


def last_trace() -> Trace:
    """What was watched last in this process. Raises UserError where nothing was."""
    if _last is None:
        raise UserError(
            "Nothing was x-rayed yet. `%xray upgrade head` runs a command and shows what it does to the server."
        )
    return _last


def remember(trace: Trace) -> None:
    """Let this be what ``last_trace`` gives: another process has watched it, and this one goes on with its work."""
    global _last
    _last = trace


class _Watch:
    """SQLAlchemy's events of one command, handed to the Backend that each is about."""

    def __init__(self, trace: Trace, announce: Callable[[str], None] | None):
        self.trace, self.announce = trace, announce
        self.own: dict[int, str] = {}  # the last statement of each session that was opened, by pid
        self.leftovers: dict[str, Leftovers] = {}  # by database
        self.others = set(threading.enumerate()) - {threading.current_thread()}
        self.backends: dict[int, Backend] = {}
        self.dialects: list[Any] = []
        self.listeners: list[tuple[Any, str, Callable[..., None]]] = [
            (Engine, "do_connect", self.connecting),
            (Engine, "engine_connect", self.connected),
            (Engine, "before_cursor_execute", self.before_statement),
            (Engine, "after_cursor_execute", self.after_statement),
            (Engine, "handle_error", self.failed),
            (Pool, "checkin", self.returned),
        ]

    def begin(self) -> None:
        for target, name, listener in self.listeners:
            event.listen(target, name, listener)

    def end(self) -> None:
        for target, name, listener in self.listeners:
            event.remove(target, name, listener)
        for dialect in self.dialects:
            for name in ENDS:
                delattr(dialect, name)
        for backend in self.backends.values():
            backend.leave()
        self.trace.transactions.sort(key=lambda transaction: transaction.at)

    def is_elsewhere(self) -> bool:
        return threading.current_thread() in self.others

    def connecting(self, dialect: Any, record: Any, arguments: Any, options: Any) -> None:
        if not self.is_elsewhere():
            _insist_on_postgresql(dialect)

    def connected(self, connection: Connection) -> None:
        if not self.is_elsewhere():
            self.backend(connection)

    def backend(self, connection: Connection) -> Backend:
        """The Backend that watches this connection's session, from now on if it is new."""
        raw = connection.connection.dbapi_connection
        if id(raw) not in self.backends:
            _insist_on_postgresql(connection.dialect)
            self.backends[id(raw)] = Backend(connection.connection, self.trace, self.own, self.leftovers, self.announce)
            self.follow(connection.dialect)
        return self.backends[id(raw)]

    def follow(self, dialect: Any) -> None:
        """Be told when a transaction has ended: SQLAlchemy's own events come before that, not after."""
        if dialect not in self.dialects:
            self.dialects.append(dialect)
            for name, outcome in ENDS.items():
                setattr(dialect, name, self.telling(getattr(dialect, name), outcome))

    def telling(self, end_transaction: Callable[..., Any], outcome: str) -> Callable[..., Any]:
        def end(connection: Any, *more: Any, **options: Any) -> Any:
            pooled = connection.connection if isinstance(connection, Connection) else connection
            backend = self.backends.get(id(getattr(pooled, "dbapi_connection", pooled)))
            if backend is None:
                return end_transaction(connection, *more, **options)
            with backend.ending(outcome):
                return end_transaction(connection, *more, **options)

        return end

    def before_statement(
        self, connection: Connection, cursor: Any, sql: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        if self.is_elsewhere():
            return
        backend = self.backend(connection)
        if context is not None and context.compiled is not None:
            sql = sql.replace("%%", "%")  # as SQLAlchemy doubles it for the driver
        backend.before(Statement(sql, 0.0, **origin(sys._getframe(1))))

    def after_statement(
        self, connection: Connection, cursor: Any, sql: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        if not self.is_elsewhere():
            tag = getattr(getattr(cursor, "_cursor", cursor), "statusmessage", None)  # an async driver's is wrapped
            self.backend(connection).after(cursor.rowcount, tag or "", cursor.description is not None)

    def failed(self, context: ExceptionContext) -> None:
        connection = context.connection
        if self.is_elsewhere() or connection is None or connection.closed or connection.invalidated:
            return
        if backend := self.backends.get(id(connection.connection.dbapi_connection)):
            original = context.original_exception
            diagnosis = getattr(original, "diag", None)
            said = getattr(diagnosis, "message_primary", None) or str(original).strip() or "interrupted"
            detail = getattr(diagnosis, "message_detail", None)
            if detail and sqlstate(original) == DEADLOCK:
                detail = backend.in_names(detail)
                original.detail_in_names = detail  # type: ignore[attr-defined]  # for who prints the error
            backend.failed(Failure(sqlstate(original), said, detail), lost=context.is_disconnect)

    def returned(self, connection: Any, record: Any) -> None:
        backend = self.backends.pop(id(connection), None)
        if backend is not None:
            backend.leave()


def _insist_on_postgresql(dialect: Any) -> None:
    if dialect.name != "postgresql":
        raise UserError(
            f"X-ray watches PostgreSQL only, and env.py opens a {dialect.name} database. Run it with `alembic` itself."
        )


def origin(frame: FrameType | None) -> dict[str, Any]:
    """Who sent a statement: the revision and the line of a migration, Alembic itself (``own``), or else env.py."""
    sender, step = "", None
    while frame is not None:
        names, code = frame.f_globals, frame.f_code
        if "down_revision" in names and "revision" in names:
            return {"revision": names["revision"], "where": f"{Path(code.co_filename).name}:{frame.f_lineno}"}
        module = names.get("__name__", "")
        if not sender and not re.match(r"(sqlalchemy|migration_xray\.watch|greenlet)\b", module):
            sender = module
        if code is MigrationContext.run_migrations.__code__:
            step = frame.f_locals.get("step")
            break
        frame = frame.f_back
    revision = getattr(getattr(step, "revision", None), "revision", None)
    return {"revision": revision, "own": sender.startswith("alembic.")}
