"""One session of a migration, watched: told of each statement by the thread that runs it, looked at by another thread."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from migration_xray.errors import UserError
from migration_xray.trace import Failure, Notice, Phase, Statement, Trace, Transaction

from .counter import Counter
from .leftovers import Leftovers
from .lookout import Look, Lookout
from .verdicts import TELLING, Evidence
from .waits import Waits

PAUSE = 0.010  # seconds between two looks at what is held, as long as a transaction holds it to its end anyway
SHARE = 10  # a look takes long where there are many locks or little time: the pause is at least so many times longer
# A statement in autocommit lets go before it returns, and may be over soon:
AT_ONCE = 0.020  # it is stared at from before it begins,
SOON = 0.100  # looked at more often for a while,
PAUSE_IN_AUTOCOMMIT = 0.003  # with this pause, and then as if it were in a transaction
LONG = 0.3  # when it still runs then, its rows may be counted in no other way than by those of the whole server
# One that fails in a transaction, or ends it, has let go of all, too:
ENOUGH = 5  # looks at it; with fewer, what they show is a matter of luck

# https://www.postgresql.org/docs/18/libpq-status.html#LIBPQ-PQTRANSACTIONSTATUS
IDLE, OPEN, FAILED, UNKNOWN = 0, 2, 3, 4
HEARD = ("NOTICE", "WARNING", "INFO")
TO_EVERYBODY = ("NOTICE", "WARNING")
# It runs nothing else before or after.
ENDS_ONLY = re.compile(r"\s*(COMMIT|END|ROLLBACK|ABORT)\b[^;]*;?\s*", re.IGNORECASE)
WRITING = ("INSERT", "UPDATE", "DELETE", "MERGE")
# Tags of statements that read and write no rows. "SET" would be "SET CONSTRAINTS" too, at which deferred triggers run.
TOUCHING_NOTHING = {"SET", "RESET", "SHOW", "BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK", "LOCK TABLE", "COMMENT"}
PAST_SQLALCHEMY = "(sent through the driver, past SQLAlchemy)"


class Backend:
    """The migration's session on ``connection`` (SQLAlchemy's pooled one).

    Nothing is ever sent through it but SHOW and SET of ``client_min_messages``, and the Counter's questions: none of them
    takes a lock that stays. The two threads work on the same Evidence, under ``mutex``. ``own`` has the last statement of
    each session of this migration, by pid, and ``announce`` takes a sentence about a long wait while it goes on. Raises
    UserError where it can't be watched.
    """

    def __init__(
        self,
        connection: Any,
        trace: Trace,
        own: dict[int, str],
        leftovers: dict[str, Leftovers],
        announce: Callable[[str], None] | None,
    ):
        self.dbapi, self.driver, self.trace = connection.dbapi_connection, connection.driver_connection, trace
        if not hasattr(self.driver, "add_notice_handler") and not hasattr(self.driver, "get_backend_pid"):
            name = type(self.driver).__module__.split(".")[0]
            raise UserError(
                f"X-ray hears what PostgreSQL says through psycopg or psycopg2, not {name}. Use a URL of one of them."
            )
        self.lookout = Lookout(self.driver)
        trace.server = trace.server or self.lookout.version
        self.own, self.announce = own, announce
        name = self.lookout.database_name
        self.leftovers = leftovers[name] = leftovers.get(name) or Leftovers(self.lookout)
        own[self.lookout.pid] = ""
        self.waits = Waits(self.lookout, own)
        self.counter = Counter(self._run, self.lookout)
        self.uncounted = True  # whether the session may have read and written since the last count
        self.failing: Statement | None = None  # failed in a transaction that is still open: nothing can be asked there
        self.evidence: Evidence | None = None
        self.statement: Statement | None = None
        self.hurry = False  # while a statement runs in autocommit
        self.found = 0  # how many looks found it at work
        self.messages: list[str] = []
        self.notices: dict[Notice, int] = {}
        self.wal = 0
        self.looked = 0.0  # when the last look began that showed nothing new
        self.phase: str | None = None
        self.phases: dict[str, float] = {}
        self.put_back = ""  # the SET that makes the session as quiet as it was
        self.mutex = threading.RLock()
        self.wake, self.looking, self.gone = threading.Event(), threading.Event(), threading.Event()
        self.stop_listening = _listen(self.driver, self._hear)
        self.thread = threading.Thread(target=self._keep_looking, name="x-ray", daemon=True)
        self.thread.start()

    # Told by the thread that runs the migration

    def before(self, statement: Statement) -> None:
        with self.mutex:
            if self.evidence is not None and self._status() == IDLE:
                self.ended("committed")  # by the driver's own commit()
            evidence = self._opened()
            look = self._account_for_strangers()
            self.wal = look.wal if look else 0
            self._forget_messages()
            self.waits.begin()
            self.phase, self.phases = None, {}
            self.own[self.lookout.pid] = statement.sql
            statement.at = self._now()
            evidence.begin(statement)
            if evidence.transaction.autocommit:
                self.counter.begin_outside()
            self.statement, self.hurry = statement, evidence.transaction.autocommit
            self.found = 0
            self.looking.clear()
        if self.hurry:
            self.wake.set()
            self.looking.wait(1)
            statement.at = self._now()

    def after(self, rows: int, tag: str, gives_rows: bool) -> None:
        """The statement is done; ``tag`` is what the server called it ("ALTER TABLE"), ``rows`` below 0 mean none."""
        if self.statement is not None and _writes(tag, gives_rows):
            self.statement.written = max(0, rows)
        self._finish(rows if rows >= 0 else None, tag)
        if self._is_over():  # in autocommit, or with op.execute("COMMIT")
            self.ended("rolled back" if tag.startswith("ROLLBACK") else "committed")
        elif self.evidence is not None:
            self.evidence.transaction.autocommit = False  # whatever the driver thinks: it was BEGIN

    def in_names(self, said: str) -> str:
        """What PostgreSQL said about a deadlock, with names in place of the numbers of sessions and tables."""
        with self.mutex:
            return self.lookout.in_names(said)

    def failed(self, failure: Failure, lost: bool = False) -> None:
        if self.statement is None:
            return
        self.statement.error = failure
        self._finish(None)
        if lost or self._is_over():
            self.ended("lost" if lost else "rolled back")

    @contextmanager
    def ending(self, outcome: str) -> Iterator[None]:
        """Around the driver's commit or rollback."""
        with self.mutex:
            if self._status() in (OPEN, FAILED):
                self._account_for_strangers()
            if self._status() == FAILED:
                outcome = "rolled back"  # to which COMMIT comes then
        try:
            yield
        except BaseException:
            self.ended("lost" if self.driver.closed else "rolled back")
            raise
        if self._is_over():
            self.ended(outcome)

    def ended(self, outcome: str) -> None:
        """The transaction is over: its locks are let go, and what it made has names that others can see."""
        with self.mutex:
            evidence, self.evidence = self.evidence, None
            if "LOCAL" in self.put_back and outcome != "open":
                self.put_back = ""
            if evidence is None or not evidence.transaction.statements:
                return
            self.uncounted |= self.failing is not None
            self.failing = None
            now, transaction = time.monotonic(), evidence.transaction
            transaction.outcome = outcome
            transaction.ms = (self._now() - transaction.at) * 1000
            transaction.revisions = list(dict.fromkeys(s.revision for s in transaction.statements if s.revision))
            evidence.judge(now)
            self.leftovers.meet(evidence.asked)
            self.trace.transactions.append(transaction)

    def leave(self) -> None:
        """Stop watching, and leave the session as it was where it stays open."""
        if self.gone.is_set():
            return
        if self.statement is not None:
            self.failed(Failure(None, "interrupted before it was done"), lost=True)
            self.lookout.cancel_if_active()
        self.ended("lost" if self.driver.closed else "open")
        self.gone.set()
        self.wake.set()
        self.thread.join()
        self._make_quiet()
        self.stop_listening()
        others = [one for one in self.trace.leftovers if one.database != self.lookout.database_name]
        if self.lookout.lost is None:
            self.trace.leftovers = others + self.leftovers.now(self.lookout)
        if self.lookout.lost and not self.driver.closed:
            self.trace.unseen = (
                f"X-ray's own session ended early ({self.lookout.lost}): what came after that was not seen"
            )
        self.lookout.close()

    # The migration's session

    def _now(self) -> float:
        return time.monotonic() - self.trace.started

    def _status(self) -> int:
        return int(self.driver.info.transaction_status)

    def _is_over(self) -> bool:
        return self._status() in (IDLE, UNKNOWN)

    def _hear(self, severity: str, said: str, detail: str | None) -> None:
        if severity in HEARD or any(pattern.search(said) for pattern in TELLING):
            self.messages.append(said)
        if severity in TO_EVERYBODY:
            notice = Notice(severity, said, detail)
            self.notices[notice] = self.notices.get(notice, 0) + 1

    def _forget_messages(self) -> None:
        self.messages.clear()
        self.notices.clear()

    def _note_messages(self, statement: Statement) -> None:
        """Note what the server has said while a statement ran."""
        statement.says = list(self.messages)
        statement.notices = [replace(notice, times=times) for notice, times in self.notices.items()]
        self.leftovers.hear(statement.notices)

    def _run(self, sql: str) -> list[Any]:
        """The rows of a query of ours. psycopg would have the session prepare it when it comes for the fifth time."""
        threshold = getattr(self.driver, "prepare_threshold", None)
        if threshold is not None:
            self.driver.prepare_threshold = None
        cursor = self.dbapi.cursor()
        try:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []
        finally:
            cursor.close()
            if threshold is not None:
                self.driver.prepare_threshold = threshold

    def _make_talk(self) -> bool:
        """Have the session say what it does. Returns whether it is outside of a transaction: its driver alone knows before."""
        if self._status() == FAILED:
            return False
        [(verbosity, *_)] = self._run("SHOW client_min_messages")
        outside = self._status() == IDLE
        if not verbosity.startswith("debug"):
            scope = "" if outside else "LOCAL "  # which goes with the transaction, however that ends
            self._run(f"SET {scope}client_min_messages = debug1")
            self.put_back = f"SET {scope}client_min_messages = {verbosity}"
        return outside

    def _make_quiet(self) -> None:
        if not self.put_back:
            return
        try:
            was_idle = self._status() == IDLE
            self._run(self.put_back)
            if was_idle:
                self.dbapi.commit()
        except Exception:  # noqa: BLE001 - whatever driver it is: a session that is gone has no setting to put back
            pass

    # What the looks tell

    def _opened(self) -> Evidence:
        """What is seen of the transaction that is open, which begins now where there was none."""
        if self.evidence is None:
            self.evidence = self._begin()
        return self.evidence

    def _begin(self) -> Evidence:
        transaction = Transaction(self._now(), self.lookout.database_name)
        if self._status() == IDLE:
            self.counter.asked = None
            if self.uncounted:
                self.counter.start()
                if self._status() != IDLE:
                    self.dbapi.rollback()  # which the driver has begun for it
        self.uncounted = False
        self.counter.begin()
        transaction.autocommit = self._make_talk()
        self.looked = time.monotonic()
        before = self.lookout.every_relation() if transaction.autocommit else None
        return Evidence(transaction, self.lookout, self.own, before)

    def _account_for_strangers(self) -> Look | None:
        """Look at what the next statement finds. Locks that are new were taken by what was sent past SQLAlchemy."""
        evidence = self._opened()
        look = self.lookout.look()
        if look is not None:
            stranger = Statement(PAST_SQLALCHEMY, self.looked - self.trace.started)
            evidence.begin(stranger)
            is_new = evidence.account(look, stranger, self.looked)
            if self._status() == OPEN and self.counter.asked != look.asked:
                counted = self.counter.inside(evidence.asked)
                evidence.count(self.failing or stranger, counted)
                is_new |= bool(counted) and self.failing is None
                self.failing = None
            if is_new:
                self._note_messages(stranger)
                evidence.transaction.statements.append(stranger)
            self.looked = look.began
        return look

    def _account(self, evidence: Evidence, look: Look) -> None:
        if self.statement is None:
            evidence.account_waits(look)
            if look.held.keys() <= evidence.held.keys():
                self.looked = look.began
            return
        # A lock came after the last look that did not show it.
        evidence.account(look, self.statement, max(self.looked, self.trace.started + self.statement.at))
        self.waits.account(look)
        if look.phase is not None:
            since = self.looked if look.phase == self.phase else look.began
            self.phases[look.phase] = self.phases.get(look.phase, 0.0) + (look.began - since) * 1000
        self.phase, self.looked = look.phase, look.began

    def _count(self, evidence: Evidence, statement: Statement, look: Look | None, tag: str) -> None:
        """Note what a statement that has ended read and wrote."""
        status = self._status()
        if look is not None:
            self.counter.asked = look.asked
        if status == FAILED:
            self.failing = statement
        elif self.failing is not None and status == OPEN:  # ROLLBACK TO SAVEPOINT came: it can be asked again
            failing, self.failing = self.failing, None
            evidence.count(failing, self.counter.inside(evidence.asked))
        elif tag in TOUCHING_NOTHING:
            return
        elif status == OPEN:
            evidence.count(statement, self.counter.inside(evidence.asked))
        elif status == IDLE and evidence.transaction.autocommit:
            counted = self.counter.outside(evidence.locked(statement))
            if counted is not None:
                evidence.count(statement, counted)

    def _finish(self, rows: int | None, tag: str = "") -> None:
        """The statement has ended: note how long it took, what it wrote, what it said and what is held now."""
        now, self.hurry = self._now(), False
        with self.mutex:
            statement = self.statement
            if statement is None or self.evidence is None:
                return
            statement.ms = (now - statement.at) * 1000
            statement.rows = rows
            if (look := self.lookout.look()) is not None:
                self._account(self.evidence, look)
                statement.wal_bytes = max(0, look.wal - self.wal)
            in_transaction = not self.evidence.transaction.autocommit
            enough = ENOUGH if in_transaction and statement.error else 0 if in_transaction else 1
            if self.found < enough:
                statement.unseen = True
                self.evidence.forget(statement)
            if in_transaction and not statement.error and self._is_over() and not ENDS_ONLY.fullmatch(statement.sql):
                # A script with a COMMIT in it: some of its locks came and went between two looks.
                statement.unseen = True
            statement.lock_wait_ms, statement.awaited = self.waits.ms, self.waits.awaited()
            statement.phases = [Phase(name, ms) for name, ms in self.phases.items()]
            self._note_messages(statement)
            self.evidence.transaction.statements.append(statement)
            self.statement = None
            self._count(self.evidence, statement, look, tag)

    def _keep_looking(self) -> None:
        while not self.gone.is_set():
            began, news = time.monotonic(), list[str]()
            stare = self.hurry and (not self.looking.is_set() or self._is_new(AT_ONCE))
            with self.mutex:
                if self.evidence is not None and (look := self._look(stare)):
                    self.found += look.found
                    self._account(self.evidence, look)
                    news = self.waits.news()
                    if self.hurry and not self._is_new(LONG):
                        self.counter.look_everywhere()
            if self.announce:
                for sentence in news:
                    self.announce(sentence)
            took = time.monotonic() - began
            if not stare:
                self.wake.wait(PAUSE_IN_AUTOCOMMIT if self._is_new(SOON) else max(PAUSE, SHARE * took))
                self.wake.clear()

    def _look(self, stare: bool) -> Look | None:
        return self.lookout.stare(self.looking.set) if stare else self.lookout.look()

    def _is_new(self, seconds: float) -> bool:
        """Whether a statement in autocommit is not older than so many seconds."""
        statement = self.statement
        return self.hurry and statement is not None and self._now() - statement.at < seconds


def _writes(tag: str, gives_rows: bool) -> bool:
    """Whether the rows that a tag counts were written. CREATE TABLE AS has the tag SELECT, and gives none back.

    https://www.postgresql.org/docs/18/protocol-message-formats.html (CommandComplete)
    """
    return tag.startswith(WRITING) or tag.startswith("SELECT") and not gives_rows


class _Notices(list[str]):
    """psycopg2's list of notices, "DEBUG:  building index …" each: those that the session would have without x-ray."""

    def __init__(self, before: list[str], hear: Callable[[str, str, str | None], None]):
        super().__init__(before)
        self.hear = hear

    def append(self, notice: str) -> None:
        severity, _, said = notice.strip().partition(":  ")
        said, _, more = said.partition("\nDETAIL:  ")
        self.hear(severity, said, more.partition("\nHINT:  ")[0] or None)
        if severity != "DEBUG":
            super().append(notice)


def _listen(driver: Any, hear: Callable[[str, str, str | None], None]) -> Callable[[], None]:
    """Hear (severity, message, detail) of all that the server says on a connection; returns what ends it."""
    if hasattr(driver, "add_notice_handler"):  # psycopg

        def handle(said: Any) -> None:
            hear(said.severity_nonlocalized, said.message_primary, said.message_detail)

        driver.add_notice_handler(handle)
        return lambda: driver.remove_notice_handler(handle)

    def stop() -> None:
        driver.notices = list(driver.notices)

    driver.notices = _Notices(driver.notices, hear)
    return stop
