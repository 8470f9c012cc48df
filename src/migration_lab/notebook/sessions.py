"""Named second sessions in the database of the place that is open, which stay open from cell to cell.

The transactions are the learner's own: each statement is sent by itself, as psql does, and BEGIN and COMMIT are theirs.
A session's name is its application_name, by which the server and ``locktree`` know it too.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from html import escape

import psycopg
from psycopg.pq import ExecStatus, TransactionStatus

from migration_lab.learner import Opened
from migration_xray.command import indented, sentence
from migration_xray.errors import UserError
from migration_xray.locks import OURS, Wait, in_names, lock_tree
from migration_xray.markup import text_table

GRACE = 1.0  # seconds in which a statement that was sent to the background may still be done
SEEN_WAITING = 0.1  # seconds for which it must wait before it is called waiting
PATIENCE = 10.0  # seconds of waiting for a lock after which a cell gives up: no other cell can let go of it meanwhile
ROWS_SHOWN = 20

NAME = re.compile(r"[A-Za-z][\w-]{0,62}", re.ASCII)  # what application_name keeps as it is
STATES = {
    TransactionStatus.IDLE: "idle",
    TransactionStatus.INTRANS: "idle in transaction",
    TransactionStatus.INERROR: "idle in transaction (aborted)",
}


# --- What a session gave ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rows:
    """The first rows of a query, each value as PostgreSQL writes it, and how many there are."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    count: int

    @property
    def more(self) -> str:
        """What there is to say of rows that are not shown, or not there."""
        shown = f", {len(self.rows)} shown" if 0 < len(self.rows) < self.count else ""
        return f"({self.count:,} row{'s' * (self.count != 1)}{shown})" if shown or not self.rows else ""

    def __str__(self) -> str:
        if not self.columns:
            return self.more
        lines = [self.columns, *(tuple(value.replace("\n", "↵") for value in row) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        head, *body = (" | ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
        return "\n".join([head, "-+-".join("-" * width for width in widths), *body, *filter(None, [self.more])])

    def _repr_html_(self) -> str:
        return text_table(self.columns, self.rows) + self.more


@dataclass
class Outcome:
    """What statements gave so far: rows, command tags, notices; and in ``error`` the sentence that they ended with."""

    said: list[str | Rows]
    error: str = ""

    def __repr__(self) -> str:
        return "\n".join(map(str, self.said))

    def _repr_html_(self) -> str | None:
        if not any(isinstance(one, Rows) for one in self.said):
            return None
        plain = '<pre style="font-family: monospace; margin: 0">{}</pre>'
        return "".join(one._repr_html_() if isinstance(one, Rows) else plain.format(escape(one)) for one in self.said)


# --- The sessions -----------------------------------------------------------------------------------------------------


class Sessions:
    """The named sessions of an open place, each opened at its first use."""

    def __init__(self, opened: Opened):
        self.opened = opened
        self.sessions: dict[str, Session] = {}

    def run(self, name: str, script: str, wait: bool = True) -> Iterator[Outcome]:
        """Run statements one after another. Yields what the session did in the background before, then their outcome.

        Without ``wait`` they go on in the background, and the outcome says what they are doing.
        """
        statements = split(script)
        if not statements:
            raise UserError(f"There is no SQL for {name} to run.")
        if name in self.sessions:
            yield from self._before(self.sessions[name])
        session = self._session(name)
        job = session.start(statements)
        yield self._followed(session, job) if wait else self._glimpsed(session, job)

    def outcome(self, name: str) -> Outcome:
        """What a session did in the background, awaited; or where there is nothing to tell, its state."""
        if name not in self.sessions:
            others = f" Open are: {', '.join(self.sessions)}." if self.sessions else ""
            raise UserError(
                f"No session {name} is open in this notebook; "
                f"a cell that begins with %%session {name} opens it.{others}"
            )
        session = self.sessions[name]
        if session.job is None:
            return Outcome([f"{name} is {session.state}"])
        return self._followed(session, session.job)

    @property
    def unfinished(self) -> list[str]:
        """The names of those that are in a transaction or at work."""
        return [name for name, session in self.sessions.items() if session.is_unfinished]

    def close(self, name: str | None = None) -> None:
        """End one session, or all: what runs is cancelled, and the server rolls back what is not committed."""
        for one in [name] if name else list(self.sessions):
            if session := self.sessions.pop(one, None):
                session.close()

    def _session(self, name: str) -> Session:
        if name not in self.sessions:
            if not NAME.fullmatch(name) or name in OURS:
                raise UserError(f"A session can't be called {name}. Use a letter, then letters, digits, - or _.")
            self.sessions[name] = Session(name, self.opened)
        return self.sessions[name]

    def _before(self, session: Session) -> Iterator[Outcome]:
        if session.job:
            outcome = self._followed(session, session.job, interrupting=False)
            yield Outcome(["In the background:", *outcome.said, *filter(None, [outcome.error])])

    def _followed(self, session: Session, job: Job, interrupting: bool = True) -> Outcome:
        """Wait for what runs. An interrupt cancels it as in psql, and PostgreSQL says so; or only ends the waiting."""
        wait = None
        try:
            wait = self._watch(session, job, PATIENCE, None)
        except KeyboardInterrupt:
            if interrupting:
                job.cancel()
        if not job.done.is_set():
            first = "End the transaction that it waits for, then " if wait else "Later, "
            raise UserError(
                f"{session.name} still {wait or 'runs'}. It goes on in the background. {first}`%session {session.name}` "
                f"shows what it gave; `%session {session.name} --close` ends it."
            )
        return self._taken(session, job)

    def _glimpsed(self, session: Session, job: Job) -> Outcome:
        """What runs, done if it is soon done, else as it stands."""
        wait = self._watch(session, job, SEEN_WAITING, GRACE)
        if job.done.is_set():
            return self._taken(session, job)
        doing = str(wait) if wait else f"runs: {' '.join(job.statement.split())}"
        return Outcome([*job.take(), f"{session.name} {doing}"])

    def _watch(self, session: Session, job: Job, waiting: float, running: float | None) -> Wait | None:
        """Return once the job is done, has waited so many seconds for a lock (then the wait), or run for so many."""
        began, pause = time.monotonic(), 0.02
        if job.done.wait(pause):
            return None
        with self.opened.server.connect(self.opened.database) as second:
            while not job.done.wait(pause):
                pause = min(pause * 1.5, 0.25)
                wait = lock_tree(second).wait_of(session.pid)
                if wait and (wait.ms or 0) >= waiting * 1000:
                    return wait
                if running and time.monotonic() - began > running:
                    return None
        return None

    def _taken(self, session: Session, job: Job) -> Outcome:
        """The outcome of a job that is done, which is then forgotten."""
        session.job = None
        return Outcome(job.take(), self._failure(session, job.error) if job.error else "")

    def _failure(self, session: Session, error: Exception) -> str:
        if session.connection.info.transaction_status is TransactionStatus.ACTIVE:  # psycopg left it in mid-COPY
            self.close(session.name)
            return f"COPY from or to the client takes psql, in a terminal or after `!`. {session.name} was closed."
        said = sentence(error)
        if session.connection.closed:
            self.close(session.name)
            return (
                f"The session of {session.name} is gone: {said.splitlines()[0]}. What it had not committed was rolled "
                f"back; %%session {session.name} opens a new one."
            )
        if isinstance(error, psycopg.errors.DeadlockDetected):
            with self.opened.server.connect(self.opened.database) as second:
                said = in_names(said, second)
        if session.connection.info.transaction_status is TransactionStatus.INERROR:
            said += f"\n{session.name} is in an aborted transaction: until its ROLLBACK the server refuses all else."
        return said


class Session:
    """One named session, and the job that it has to do or has done, until somebody has seen what it gave."""

    def __init__(self, name: str, opened: Opened):
        self.name = name
        self.connection = opened.server.connect(
            opened.database, application_name=name, prepare_threshold=None, client_encoding="utf8"
        )
        self.connection.add_notice_handler(self._notice)
        self.pid = self.connection.info.backend_pid
        self.job: Job | None = None
        # So that the server ends a statement that waits for a lock when this kernel is killed. Windows can't tell.
        with suppress(psycopg.Error):
            self.connection.execute("SET client_connection_check_interval = '1s'")

    @property
    def state(self) -> str:
        return STATES.get(self.connection.info.transaction_status, "gone")

    @property
    def is_unfinished(self) -> bool:
        at_work = self.job is not None and not self.job.done.is_set()
        return at_work or self.connection.info.transaction_status in (
            TransactionStatus.INTRANS,
            TransactionStatus.INERROR,
        )

    def start(self, statements: list[str]) -> Job:
        self.job = job = Job(self.connection, statements)
        job.start()  # not before it is known here: its first notice may come at once
        return job

    def close(self) -> None:
        if self.job:
            self.job.cancel()
        if self.job is None or self.job.done.is_set():
            self.connection.close()

    def _notice(self, notice: psycopg.errors.Diagnostic) -> None:
        if self.job:
            detail = "\n" + indented(f"  DETAIL: {notice.message_detail}") if notice.message_detail else ""
            self.job.said.append(f"{notice.severity}: {notice.message_primary}{detail}")


class Job:
    """Statements on their way, one after another, in the background."""

    def __init__(self, connection: psycopg.Connection, statements: list[str]):
        self.connection, self.statements, self.statement = connection, statements, statements[0]
        self.said: list[str | Rows] = []
        self.error: Exception | None = None
        self.cancelled = False
        # Not Thread.join(): in Python 3.11, interrupted, it takes a thread for ended that is not.
        self.done = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            for statement in self.statements:
                self.statement = statement
                if self.cancelled:
                    raise psycopg.errors.QueryCanceled("canceling statement due to user request")
                self.said += _result(self.connection.execute(statement))
        except Exception as error:
            self.error = error
        finally:
            self.done.set()

    def take(self) -> list[str | Rows]:
        """What there is to show that has not been shown yet."""
        taken = self.said[:]
        del self.said[: len(taken)]
        return taken

    def cancel(self) -> None:
        """Have the server stop the statement, be it waiting or working; a server that does not answer is left alone."""
        self.cancelled = True
        for _ in range(10):
            if self.done.is_set():
                return
            with suppress(psycopg.Error):
                self.connection.cancel_safe(timeout=2)
            self.done.wait(0.25)


def _result(cursor: psycopg.Cursor) -> list[str | Rows]:
    """A statement's rows, if it has any, and its command tag, but for those that psql leaves out."""
    tag, result = cursor.statusmessage or "", cursor.pgresult
    if result is None or result.status != ExecStatus.TUPLES_OK:
        return [tag] if tag else []
    shown = range(min(result.ntuples, ROWS_SHOWN) if result.nfields else 0)
    rows = tuple(tuple(_text(result.get_value(row, column)) for column in range(result.nfields)) for row in shown)
    columns = tuple((result.fname(column) or b"").decode() for column in range(result.nfields))
    return [Rows(columns, rows, result.ntuples)] + [tag] * tag.startswith(("INSERT", "UPDATE", "DELETE", "MERGE"))


def _text(value: bytes | None) -> str:
    return "NULL" if value is None else value.decode(errors="replace")  # a database in SQL_ASCII keeps any bytes


# --- The statements of a cell -----------------------------------------------------------------------------------------

# What may hold a semicolon that ends no statement; https://www.postgresql.org/docs/18/sql-syntax-lexical.html
LEXEMES = re.compile(
    r"""(?P<comment>--[^\n]* | /\*(?:[^*/]|\*(?!/)|/(?!\*)|/\*(?:[^*]|\*(?!/))*\*/)*\*/)
      | \b[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | "(?:[^"]|"")*"
      | (?<![\w$])\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$
      | \bBEGIN\s+ATOMIC\b.*?\bEND\s*(?=;|\Z)
      | (?P<open>\() | (?P<close>\)) | (?P<end>;) | (?P<space>\s+) | .""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)


def split(script: str) -> list[str]:
    """The statements of a script, without their semicolons and without what is a comment alone."""
    statements, start, depth, is_blank = [], 0, 0, True

    def cut(end: int) -> None:
        if not is_blank:
            statements.append(script[start:end].strip())

    for lexeme in LEXEMES.finditer(script):
        if lexeme["end"] and depth <= 0:
            cut(lexeme.start())
            start, depth, is_blank = lexeme.end(), 0, True
        else:
            depth += bool(lexeme["open"]) - bool(lexeme["close"])
            is_blank = is_blank and bool(lexeme["comment"] or lexeme["space"])
    cut(len(script))
    return statements
