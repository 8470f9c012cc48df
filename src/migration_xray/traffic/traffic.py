"""Traffic: readers and writers at work on a table, and what they felt of what went on meanwhile.

>>> with Traffic(url, "users") as traffic:
...     migrate()
>>> print(traffic.felt)
Longest read stall 312 ms, longest write stall 340 ms; no errors.

The load is open: each session has a timetable, and whether the server keeps up does not change what is asked of it.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

import psycopg

from migration_xray.connection import connect, libpq_url
from migration_xray.errors import UserError, said
from migration_xray.process import APART
from migration_xray.trace import Trace

from . import workload
from .application import PATIENCE_AT_FIRST
from .felt import NOUNS, Felt, Sample, bands
from .workload import Application, Table

if TYPE_CHECKING:
    from sqlalchemy import URL

RATE = 50  # statements a second of each session
READERS, WRITERS = 4, 2
MOST = 20  # sessions of a kind; a server has a hundred for everybody
LEAD, TAIL = 0.3, 0.5  # seconds of traffic before and after what it is about
PATIENCE = 2.0  # seconds that a statement may go on waiting after the end, be it one of a backlog

# What to do about PostgreSQL's refusals, by SQLSTATE. https://www.postgresql.org/docs/18/errcodes-appendix.html
MENDS = {
    "42501": "The role needs SELECT and UPDATE on the table, and INSERT and DELETE where rows are inserted.",
    "53100": "The disk that holds the database is full: make room, then try again.",
    "53300": "Too many sessions are open: close those that you don't need, then try again.",
    "55P03": "Another session holds that lock: end its transaction, then try again.",
}

_last: Felt | None = None


class Traffic:
    """Readers and writers at work on a table as long as the context is open; then ``felt`` says what they felt.

    ``apps`` names versions of the application, of which each has its ``app/NAME.sql`` in ``project``; without any, the
    statements are derived from the table. Of several versions, each has its part of the usual number of sessions.
    Traces of migrations that ran meanwhile are to be appended to ``traces``.

    Raises UserError, before anything has begun, where the table or the application can't have traffic.
    """

    def __init__(
        self,
        url: URL,
        table: str,
        *,
        apps: Sequence[str] = (),
        insert: bool = False,
        readers: int | None = None,
        writers: int | None = None,
        project: Path = Path(),
        rate: int = RATE,
    ):
        self.url, self.table, self.project, self.rate = url, table, project, rate
        self.apps, self.insert, self.readers, self.writers = list(dict.fromkeys(apps)), insert, readers, writers
        self.traces: list[Trace] = []
        self.felt: Felt | None = None

    def __enter__(self) -> Traffic:
        plan = self._plan()
        self.sessions = {session["name"]: (session["kind"], session["app"]) for session in plan["sessions"]}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from migration_xray.traffic.application import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            **APART,
        )
        try:
            answer = self._ask(plan)
            if "refused" in answer:
                raise UserError(_refused(*answer["refused"]))
            self.started = answer["started"]
            time.sleep(LEAD)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: Any) -> None:
        patience = 0.0
        try:
            if not isinstance(error, KeyboardInterrupt):
                time.sleep(TAIL)
                patience = PATIENCE
        finally:
            self._end(patience, quietly=error is not None)

    def _end(self, patience: float, quietly: bool) -> None:
        try:
            self._felt(self._ask(patience))
        except UserError:
            if not quietly:
                raise
        finally:
            self._stop()

    def _plan(self) -> dict[str, Any]:
        """What the application is to do, for its process."""
        try:
            with connect(self.url) as session:
                session.execute(f"SET lock_timeout = '{PATIENCE_AT_FIRST}'")
                table = workload.table(session, self.table)
        except psycopg.Error as error:
            raise UserError(_refused(self.table, error.sqlstate, said(error))) from None
        self.table = table.name
        applications = [workload.read(self.project, name, table) for name in self.apps] or [workload.derived(table)]
        return {
            "database": libpq_url(self.url),
            "rate": self.rate,
            "sessions": self._sessions(applications, table),
            "delete": f"DELETE FROM {table.name} WHERE {table.by_key}",
        }

    def _sessions(self, applications: list[Application], table: Table) -> list[dict[str, Any]]:
        counts = {
            "read": _share(READERS, applications) if self.readers is None else self.readers,
            "write": _share(WRITERS, applications) if self.writers is None else self.writers,
            "insert": int(self.insert or bool(self.apps)),
        }
        if self.insert and not any("insert" in application.statements for application in applications):
            raise UserError(_no_insert(self.apps, self.table))
        sessions: list[dict[str, Any]] = [
            {
                "name": " ".join(filter(None, ["traffic", application.name, NOUNS[kind], str(number)])),
                "kind": kind,
                "app": application.name,
                "statements": [[statement.sql, statement.columns] for statement in application.statements[kind]],
            }
            for application in applications
            for kind in workload.KINDS
            for number in range(1, counts[kind] + 1)
            if kind in application.statements
        ]
        if not sessions:
            raise UserError("There would be no traffic: no reader and no writer is left. Ask for at least one.")
        for number, session in enumerate(sessions):  # each has rows of its own: two writers never wait for each other
            session["keys"] = table.keys[number :: len(sessions)] or table.keys
        return sessions

    def _ask(self, question: Any) -> dict[str, Any]:
        """Write a line to the process and read its answer."""
        questions, answers = self._pipes()
        try:
            questions.write(json.dumps(question) + "\n")
            questions.flush()
            answer = answers.readline()
        except OSError:
            answer = ""
        if not answer:
            status = self.process.wait()
            raise UserError(f"The traffic's process ended before its time (exit status {status}). Try again.")
        told: dict[str, Any] = json.loads(answer)
        return told

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        assert self.process.stdin and self.process.stdout
        return self.process.stdin, self.process.stdout

    def _felt(self, told: dict[str, Any]) -> None:
        global _last
        samples = [
            Sample(at, name, kind, app, ms, error, message, answered)
            for (name, (kind, app)), felt in zip(self.sessions.items(), told["samples"], strict=True)
            for at, ms, error, message, answered in felt
        ]
        self.felt = _last = Felt(
            self.table,
            self.sessions,
            self.rate,
            told["seconds"],
            samples,
            bands(self.traces, self.started),
            tuple(self.traces),
            tuple(told["waiting"]),
            told["left"],
        )

    def _stop(self) -> None:
        """Let the process end its sessions; it does so by itself when its input ends."""
        questions, answers = self._pipes()
        with suppress(OSError):
            questions.close()
        try:
            self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.process.kill()
            self.process.wait()
            answers.close()


def last_traffic() -> Felt:
    """What the last traffic of this process felt. Raises UserError where there was none."""
    if _last is None:
        raise UserError("There was no traffic yet. A cell that begins with `%%traffic TABLE` has some.")
    return _last


def remember(felt: Felt) -> None:
    """Let this be what ``last_traffic`` gives: another process has measured it, and this one goes on with its work."""
    global _last
    _last = felt


def _share(usual: int, applications: list[Application]) -> int:
    return max(1, usual // len(applications))


def _refused(who: str, sqlstate: str | None, reason: str) -> str:
    mend = MENDS.get(sqlstate or "", "")
    return f"PostgreSQL refused the traffic ({who}): {reason}. {mend}".rstrip()


def _no_insert(apps: Sequence[str], table: str) -> str:
    if apps:
        return f"Nothing is inserted by {' or '.join(f'app/{name}.sql' for name in apps)}: it has no `-- insert`."
    return (
        f"A row of {table} can't be copied for an INSERT: no new value can be made up for one of its unique indexes. "
        "Write the INSERT into app/NAME.sql, and ask for it with --app NAME."
    )


# --- %%traffic's line -------------------------------------------------------------------------------------------------


FORM = "%%traffic TABLE [--app NAME] [--insert] [--readers N] [--writers N]"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"%%traffic: {message}. It is written `{FORM}`.")


def asked(line: str) -> dict[str, Any]:
    """What the line of ``%%traffic`` asks for, as Traffic's arguments. The table's name is written as in SQL."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("table", metavar="TABLE")
    parser.add_argument("--app", dest="apps", action="append", default=[])
    parser.add_argument("--insert", action="store_true")
    parser.add_argument("--readers", type=_number)
    parser.add_argument("--writers", type=_number)
    return vars(parser.parse_args(re.findall(r'(?:"(?:[^"]|"")*"?|[^\s"])+', line)))


def _number(words: str) -> int:
    if not words.isdecimal() or int(words) > MOST:
        raise argparse.ArgumentTypeError(f"{words} is no number from 0 to {MOST}")
    return int(words)
