"""The lab's verbs in a notebook. Each is thin: its work is done by the module of its noun."""

from __future__ import annotations

import ast
import atexit
import functools
import io
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from html import escape
from types import CodeType
from typing import Any, ParamSpec, TypeVar

from IPython.core.interactiveshell import ExecutionInfo, InteractiveShell
from IPython.core.magic import Magics, cell_magic, line_cell_magic, line_magic, magics_class, needs_local_scope
from IPython.display import DisplayHandle, Markdown, display
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext

from migration_lab import grading
from migration_lab.course import Exercise, Lesson, find_exercise, find_lesson
from migration_lab.errors import Interrupted, in_words
from migration_lab.learner import (
    Opened,
    Progress,
    go_back,
    golf,
    keep,
    naming_reset,
    open_place,
    report,
    solution,
    write_answer,
)
from migration_lab.pictures import revision_graph, schema_diagram
from migration_lab.runner import Runner
from migration_lab.workspace import Workspace
from migration_xray import command
from migration_xray.errors import AlembicError, UserError
from migration_xray.locks import lock_tree
from migration_xray.markup import FLOWING
from migration_xray.trace import Trace
from migration_xray.traffic import Traffic, asked, chart
from migration_xray.watch import watching

from . import shown
from .going_on import is_in_the_middle, nothing_open
from .guesses import Guesses
from .ipythonsql import Connection as SqlConnection
from .ipythonsql import Sql, with_null
from .measured import Measured
from .sessions import Outcome, Sessions

# What ipython-sql can't do, by its own words, and what can.
INSTEAD_OF_SQL = {
    "does not support transactions": "%sql commits after every statement, so it knows no BEGIN. "
    "A transaction takes `%%session NAME`, psql, or SQLAlchemy's `with engine.begin()`.",
    "required for bind parameter": "%sql takes a colon with a name after it for a Python variable of yours, "
    """and there is none of that name. In a JSON literal write a space after the colon: '{"a": 1}'.""",
    "pgspecial": "%sql knows SQL only. psql's own commands work in a shell: !psql -c '\\d users'",
}

LOST = ("OperationalError:", "AdminShutdown:", "CrashShutdown:")  # psycopg's names of what ends a session


P = ParamSpec("P")
T = TypeVar("T")


def verb(method: Callable[P, T]) -> Callable[P, T]:
    """Let a magic fail in words."""

    @functools.wraps(method)
    def speaking(*arguments: P.args, **named: P.kwargs) -> T:
        try:
            with in_words():
                return method(*arguments, **named)
        except KeyboardInterrupt:
            raise Interrupted from None

    return speaking


@magics_class
class LabMagics(Magics):
    """``%lesson``, ``%alembic``, ``%sql``, ``%schema``, ``%check`` and their kin; one place is open at a time."""

    shell: InteractiveShell  # never None, as it may be in Magics

    def __init__(self, shell: InteractiveShell):
        super().__init__(shell)
        self.opened: Opened | None = None
        self.sessions: Sessions | None = None
        self.under_traffic: Traffic | None = None
        self.guesses = Guesses()
        self.running: ExecutionInfo | None = None  # the cell
        self.begun: Lesson | None = None  # the lesson that this kernel has reset last, before any reset in its middle
        self.not_opened = ""  # why the notebook's lesson could not be opened, as it was printed
        self.sql_magic = Sql(shell)
        self.measured = Measured(shell, self.sql_magic)
        atexit.register(self._close_sessions)

    @line_magic
    @verb
    def lesson(self, line: str) -> None:
        """%lesson NUMBER [--reset | --back]: open a lesson, its database and its Alembic project."""
        words, option = _with_option(line)
        place = find_lesson(words)
        in_the_middle = self.running is not None and is_in_the_middle(place, self.running)
        opened = self._open(place, option, once_more=in_the_middle and self.begun == place)
        self.begun = place if option == "--reset" and not in_the_middle else None
        Progress(opened.workspace).opened(place)

    @line_magic
    @verb
    def exercise(self, line: str) -> None:
        """%exercise ID [--reset | --back]: open an exercise's own database and Alembic project, to try things out."""
        words, option = _with_option(line)
        self._open(find_exercise(words), option)

    @line_magic
    @verb
    def alembic(self, line: str) -> None:
        """%alembic …: Alembic's command line, in the place that is open."""
        place, arguments = self._place(), _arguments("alembic", line)
        with _cause_named(place), self._watching(line) if self.under_traffic else nullcontext():
            command.run(arguments, place.project, sys.stdout)

    @line_magic
    @verb
    def xray(self, line: str) -> None:
        """%xray …: Alembic's command line, and what each statement of it did to the server."""
        place, arguments = self._place(), _arguments("xray", line)
        trace = None
        try:
            with _cause_named(place), self._watching(line) as trace:
                command.run(arguments, place.project, sys.stdout)
        finally:
            if trace and (trace.server or trace.ok):  # what failed before any session has its error only
                display(trace)

    @line_cell_magic
    @needs_local_scope
    @verb
    def sql(self, line: str, cell: str = "", local_ns: dict[str, Any] | None = None) -> Any:
        """%sql …, %%sql: run SQL in the database of the place that is open (ipython-sql)."""
        self._place()
        printed = io.StringIO()
        try:
            with redirect_stdout(printed):
                result = self.sql_magic.execute(line, cell, local_ns)
        except Exception as error:  # ipython-sql shortens what the server refuses, not what it refuses itself
            raise UserError(_why_not(error)) from None
        if refused := printed.getvalue().rstrip():
            _show_as_error(refused)
        return with_null(result) if getattr(result, "pretty", True) else None

    @line_cell_magic
    @verb
    def session(self, line: str, cell: str | None = None) -> None:
        """%%session NAME [--no-wait]: run SQL in a second session that stays open. %session NAME --close ends it."""
        self._place()
        assert self.sessions is not None  # _open() has made them
        name, option, script = _session_words(line, cell)
        if option == "--close":
            self.sessions.close(name)
            return
        outcomes: Iterable[Outcome]
        if script is None:
            outcomes = [self.sessions.outcome(name)]
        else:
            outcomes = self.sessions.run(name, script, wait=option != "--no-wait")
        for outcome in outcomes:
            if outcome.said:
                display(outcome)
            if outcome.error:
                raise UserError(outcome.error)

    @line_magic
    @verb
    def locks(self, line: str) -> None:
        """%locks: who holds which lock, and who waits for whom."""
        place = self._place()
        with place.server.connect(place.database) as second:
            display(lock_tree(second))

    @cell_magic
    def traffic(self, line: str, cell: str) -> None:
        """%%traffic TABLE …: run the cell while readers and writers work on the table, then draw what they felt."""
        __tracebackhide__ = True
        with in_words():
            place = self._place()
            traffic = Traffic(place.url, project=place.project, **asked(line))
        body = _compiled(self.shell, cell)
        try:
            with traffic:
                self.under_traffic = traffic
                for code in body:
                    exec(code, self.shell.user_ns)
        finally:
            self.under_traffic = None
            if traffic.felt:
                display(traffic.felt)
                display(chart.caption(traffic.felt), raw=True)

    @line_magic
    @verb
    def schema(self, line: str) -> None:
        """%schema: the tables as a picture, with what changed since the last look marked."""
        display(schema_diagram(self._place()))

    @line_magic
    @verb
    def revisions(self, line: str) -> None:
        """%revisions: the project's revisions as a graph, and where the database stands."""
        place = self._place()
        with _cause_named(place):
            display(revision_graph(place))

    @cell_magic
    @verb
    def answer(self, line: str, cell: str) -> None:
        """%%answer ID FILE: write the cell into a file of the exercise's project."""
        exercise, file = _exercise_and_file(line)
        print(write_answer(exercise, file, cell, Workspace()))
        Runner.warm_up()

    @line_magic
    @verb
    def check(self, line: str) -> None:
        """%check ID: grade the exercise on a fresh database."""
        exercise = self._exercise(line, "check")
        workspace = Workspace()
        note = _Note()
        grade = grading.check(exercise, workspace, lambda step: note.show(f"… {step}"))
        Progress(workspace).graded(grade)
        note.show(grade.with_what_is_next)
        Runner.warm_up()

    @line_magic
    @verb
    def hint(self, line: str) -> None:
        """%hint ID: the next hint."""
        exercise = self._exercise(line, "hint")
        number, text = Progress(Workspace()).next_hint(exercise)
        _Note().show(f"Hint {number} of {len(exercise.hints)}: {text}")

    @line_magic
    @verb
    def solution(self, line: str) -> None:
        """%solution ID: the solution and why, after a pass or three honest tries; after a pass, your answer beside it."""
        exercise, workspace = self._exercise(line, "solution"), Workspace()
        files = [f"`{name}`\n\n```python\n{text}```" for name, text in solution(exercise, workspace).items()]
        display(Markdown("\n\n".join([*files, "**Why, and when not**", exercise.explanation])))
        note = _Note()
        if comparison := grading.compare(exercise, workspace, lambda step: note.show(f"… {step}")):
            note.show(comparison.opening)
            display(comparison)

    @line_magic
    @verb
    def golf(self, line: str) -> None:
        """%golf ID: your answers that passed, ranked by what they cost the server."""
        display(golf(self._exercise(line, "golf"), Workspace()))

    @line_magic
    @verb
    def predict(self, line: str) -> None:
        """%predict ID [GUESS]: note what you expect, before the cell that shows it."""
        print(self.guesses.note(line))

    @line_magic
    @verb
    def progress(self, line: str) -> None:
        """%progress: what is done, what is next; and what was learned, as a page to keep."""
        progress = Progress(Workspace())
        print(report(progress))
        print(keep(progress))

    @contextmanager
    def _watching(self, line: str) -> Iterator[Trace]:
        """X-ray a command, for the chart too where traffic runs meanwhile."""
        with watching(line) as trace:
            if self.under_traffic:
                self.under_traffic.traces.append(trace)
            yield trace

    def _open(self, place: Lesson | Exercise, option: str, once_more: bool = False) -> Opened:
        opened = self.enter(place, option, once_more)
        print(opened)
        if self.measured.line:
            print(self.measured.line)
        return opened

    def enter(self, place: Lesson | Exercise, option: str = "", once_more: bool = False) -> Opened:
        """Open a place, and make it the one that every verb, psql and relative path mean from here on."""
        self._leave()
        if option == "--back":
            opened = go_back(place)
        else:
            opened = open_place(place, reset=option == "--reset", once_more=once_more)
        os.environ.update(opened.variables())
        os.chdir(opened.project)
        self._connect(opened)
        self.opened, self.sessions = opened, Sessions(opened)
        self.measured.put_back(opened)
        return opened

    def _connect(self, opened: Opened) -> None:
        named = {"application_name": "%sql"}
        connection = SqlConnection(opened.url.render_as_string(hide_password=False), named)
        event.listen(connection.internal_connection.engine, "handle_error", _brief)

    def _leave(self) -> None:
        """Leave the place that was open: its sessions, which a reset had to end, and its folder, which may be gone."""
        self.opened = None
        self._close_sessions()
        os.chdir(Workspace().path)
        for connection in SqlConnection.connections.values():
            connection.internal_connection.invalidate()
            connection.internal_connection.close()
        SqlConnection.connections.clear()
        SqlConnection.current = None

    def _close_sessions(self) -> None:
        if self.sessions:
            self.sessions.close()

    def _place(self) -> Opened:
        if self.opened is None:
            raise UserError(nothing_open(self.shell))
        Progress(self.opened.workspace).seen(self.opened.place)
        return self.opened

    def _exercise(self, words: str, verb: str) -> Exercise:
        if not words.strip() and self.opened and isinstance(self.opened.place, Lesson) and self.opened.place.exercises:
            names = " or ".join(f"%{verb} {exercise.id}" for exercise in self.opened.place.exercises)
            raise UserError(f"Which exercise? Here it is {names}.")
        return find_exercise(words)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Give a shell the verbs, and teach it to show traces and charts."""
    shown.register(shell)
    shell.register_magics(LabMagics(shell))


@contextmanager
def _cause_named(place: Opened) -> Iterator[None]:
    """Where a command failed because the server or one of the project's files is gone, say so below its own words."""
    try:
        yield
    except AlembicError as error:
        if error.sentence.startswith(LOST):
            try:
                place.server.connect().close()
            except UserError as gone:
                raise UserError(f"{error}\n{gone}") from None
        raise UserError(naming_reset(str(error), place.place, place.project)) from None


def _compiled(shell: InteractiveShell, cell: str) -> list[CodeType]:
    """A cell's body as the cell itself would run: its magics too, and the value of a last expression shown."""
    code = shell.transform_cell(cell)
    name = shell.compile.cache(code, shell.execution_count, raw_code=cell)

    def compiled(tree: ast.Module | ast.Interactive, mode: str) -> CodeType:
        return shell.compile(tree, name, mode)  # type: ignore[arg-type]  # the stub leaves out trees

    try:
        tree = shell.compile.ast_parse(code, filename=name)
    except SyntaxError as error:
        line = (error.lineno or 1) + 1
        raise UserError(
            f"SyntaxError: {error.msg}\n  in line {line} of the cell: {(error.text or '').strip()}"
        ) from None
    assert isinstance(tree, ast.Module)  # ast_parse() parses as "exec" unless it is told otherwise
    *statements, last = tree.body or [ast.Pass()]
    if isinstance(last, ast.Expr):
        ending = compiled(ast.Interactive([last]), "single")
    else:
        ending = compiled(ast.fix_missing_locations(ast.Module([last], [])), "exec")
    return [compiled(ast.Module(statements, []), "exec"), ending]


def _with_option(line: str) -> tuple[str, str]:
    """The name of a place, and --reset or --back where that is said."""
    words = line.split()
    said = [word for word in words if word in ("--reset", "--back")]
    if len(set(said)) > 1:
        raise UserError("--reset goes to the start, and --back to what was there before a reset. Choose one of them.")
    return " ".join(word for word in words if word not in said), said[0] if said else ""


def _session_words(line: str, cell: str | None) -> tuple[str, str, str | None]:
    """The session's name, the option, and the SQL, None where there is none to run."""
    said = re.fullmatch(r"([^\s-]\S*)(?:\s+(--no-wait|--close))?(?:\s+((?!--).+))?", line.strip(), re.S)
    name, option, sql = said.groups() if said else (None, None, None)
    if not name or (cell is not None and (sql or option == "--close")) or (sql and option == "--close"):
        raise UserError(
            "A session's cell begins with `%%session NAME`, or `%%session NAME --no-wait` to let it run in the "
            "background. `%session NAME` shows what became of that, `%session NAME --close` ends the session."
        )
    return name, option or "", sql if cell is None else cell


def _exercise_and_file(line: str) -> tuple[Exercise, str]:
    words = line.split()
    if len(words) != 2:
        raise UserError("An answer cell begins with `%%answer ID FILE`, for example the one that the lesson gave you.")
    return find_exercise(words[0]), words[1]


def _arguments(verb: str, line: str) -> list[str]:
    if not line.strip():
        raise UserError(f"What should Alembic do? For example: %{verb} upgrade head")
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UserError(
            f"%{verb} {line}: {error}. A quotation mark is missing, or needs a backslash before it."
        ) from None


def _brief(context: ExceptionContext) -> None:
    """Leave PostgreSQL's own sentence of an error, as the other magics write it, and its arrow to a place in the SQL.

    ipython-sql would print the statement again, and a link about SQLAlchemy.
    """
    if error := context.sqlalchemy_exception:
        error.statement = error.code = None
        arrow = re.search(r"^LINE \d+: .*\n *\^", str(context.original_exception), re.M)
        lines = [command.sentence(context.original_exception), *(arrow[0].splitlines() if arrow else ())]
        error.args = ("\n  ".join(lines),)


def _show_as_error(said: str) -> None:
    """Show what PostgreSQL refused as the other magics' errors look, though a cell goes on after it, as in psql."""
    sys.stdout.flush()  # a kernel collects both streams, and does not keep their order
    print(said, file=sys.stderr, flush=True)


def _why_not(error: Exception) -> str:
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    for fragment, instead in INSTEAD_OF_SQL.items():
        if fragment in said:
            return instead
    return said


class _Note:
    """A text with a coloured edge; a later one takes its place."""

    def __init__(self) -> None:
        self.shown: DisplayHandle | None = None

    def show(self, text: str) -> None:
        colour = {"✔": "#009E73", "✘": "#D55E00", "!": "#D55E00"}.get(text[0], "#0072B2")
        style = f"border-left: 4px solid {colour}; padding: 0.5em 1em; {FLOWING}"
        page = {"text/plain": text, "text/html": f'<pre style="{style}">{escape(text)}</pre>'}
        if self.shown:
            self.shown.update(page, raw=True)
        else:
            self.shown = display(page, raw=True, display_id=True)
