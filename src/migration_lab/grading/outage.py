"""Whether the server, not the answer, is why a check came to nothing: it was full, restarted, too slow or silent.

Where the driver gives an SQLSTATE, that decides; a session that was refused has none, and then the server is asked.
A cause is named only where it was seen.
https://www.postgresql.org/docs/18/errcodes-appendix.html
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import psycopg

from migration_lab.errors import MENDS
from migration_lab.files import files_in
from migration_lab.runner import Stopped
from migration_lab.server import Server
from migration_xray.connection import FULL, TAKEN
from migration_xray.errors import UserError, sqlstate

from .explanations import LOST
from .patience import Meter, times_slower

# Insufficient resources, operator intervention and connection exceptions; a statement that was canceled (57014) is not
# among them, since the check's own limits do that.
SERVERS = re.compile("53|57P|08")
ENDS_SESSIONS = re.compile("pg_terminate_backend", re.IGNORECASE)
LONGEST = 5_000  # letters of an error that are looked through
USUAL = 10  # sessions that a command may open without a remark: env.py's, x-ray's, and a few in autocommit
SLOW = 2.0  # seconds for a new session and its first answer, which take some hundredths of one
OVERLOADED = 4.0  # times the usual, for a little work
TOOK_TOO_LONG = "57014"  # query_canceled: by statement_timeout, or by somebody
NOT_THE_CAUSE = "Your answer is not the cause."
LATER = "Check again when there is less to do."
SAYS_NOTHING = "This says nothing about your answer."  # nobody has seen what filled a disk, or the memory

# The first time changes with a restart. After a crash the postmaster goes on, and all statistics are reset.
# https://www.postgresql.org/docs/18/monitoring-stats.html#MONITORING-STATS-SETUP
LIFE = "SELECT pg_postmaster_start_time(), stats_reset FROM pg_stat_bgwriter"
FREE = "SELECT current_setting('max_connections')::int - sum(numbackends)::int FROM pg_stat_database"
OPENED = "SELECT sessions FROM pg_stat_database WHERE datname = current_database()"


class Outage(UserError):
    """What the server or the machine did to a check, in whole sentences."""


class Exhausted(Exception):
    """An answer's command opened so many sessions that the server refused the next one."""


class Watch:
    """What is known of the server during one check; ``session`` is the check's own, in the graded database."""

    def __init__(self, running: Server, project: Path, session: psycopg.Connection):
        self.running, self.project, self.session = running, project, session
        self.life = session.execute(LIFE).fetchone()
        self.refused: UserError | None = None  # what refused the check a session, be it in a thread
        self.meter = Meter(running, session.info.dbname)
        self.command, self.until, self.opened, self.free = "alembic", 0.0, 0, 0

    def begin(self, command: str, seconds: float) -> None:
        """A command begins that has so many seconds: what it does to the number of sessions counts from here."""
        self.command, self.until = command, time.monotonic() + seconds
        self.opened, self.free = self._ask(OPENED), self._ask(FREE)
        self.meter.begin()

    def end(self) -> None:
        """The command is over."""
        self.meter.end()

    def examine(self, error: Exception) -> None:
        """Raise Outage where the server is why this went wrong, and UserError where it does not answer.

        Raises Exhausted where the answer's own sessions have filled the server. Returns where nothing speaks for the server.
        """
        code, words = sqlstate(error), str(error)[:LONGEST]
        if full := re.search(rf"[^:.\n]*({FULL}|{TAKEN})[^.\n]*", words):
            self._is_full(full[0].strip())
        if self.refused:
            raise self.refused
        began = time.monotonic()
        with self.running.connect() as session:  # a UserError where it is the server that went away
            life = session.execute(LIFE).fetchone()
            took = time.monotonic() - began
            if life != self.life:
                raise Outage(
                    "PostgreSQL was restarted while the check ran, and all its sessions ended. "
                    f"{NOT_THE_CAUSE} Check again."
                )
        if isinstance(error, Stopped) and began >= self.until:
            self._is_slow(f"{error}", took)
        if code == TOOK_TOO_LONG and (starved := self.meter.starved()):
            raise Outage(
                f"{words.splitlines()[0].rstrip('.')}. {starved}, so this says nothing about your answer. {LATER}"
            )
        if (SERVERS.match(code or "") or LOST.search(words)) and not self.ends_sessions():
            if code is None and not self.session.closed:
                return  # the answer may have closed its own session
            mend = MENDS.get(code or "", "Check again.")
            said = words.splitlines()[0].split(": ", 1)[-1].rstrip(".")
            verdict = SAYS_NOTHING if (code or "").startswith("53") else NOT_THE_CAUSE
            raise Outage(f"PostgreSQL said: {said}. {verdict} {mend}")

    def ends_sessions(self) -> str | None:
        """The file of the answer in which a statement ends sessions, if there is one."""
        for file in files_in(self.project):
            if ENDS_SESSIONS.search(file.read_text(encoding="utf-8", errors="replace")):
                return file.relative_to(self.project).as_posix()
        return None

    def _is_full(self, said: str) -> None:
        opened = self._ask(OPENED) - self.opened
        if opened > max(self.free / 2, USUAL):  # others took less, and no role gets the last few
            raise Exhausted(
                f"`{self.command}` opened {opened} sessions, and the server had {self.free} left when it began. Then it "
                f"refused one more: {said}. A migration needs one session. Close every session that you open."
            )
        raise Outage(f"PostgreSQL refused a session: {said}. {NOT_THE_CAUSE} {MENDS['53300']}")

    def _is_slow(self, late: str, took: float) -> None:
        if took > SLOW:
            why = f"The server took {took:.1f} seconds to open a session and answer"
        elif starved := self.meter.starved():
            why = starved
        elif (slower := times_slower(self.running)) > OVERLOADED:
            why = f"Just after it, this machine took {slower:.0f} times as long as usual for a little work"
        else:
            return
        raise Outage(f"{late}. {why}, so this says nothing about your answer. {LATER}")

    def _ask(self, query: str) -> int:
        try:
            [(number,)] = self.session.execute(query)
            return number
        except psycopg.Error:  # the session was ended, and with it what was known
            return 0
