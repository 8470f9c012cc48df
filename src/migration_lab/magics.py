"""The lab's verbs in a notebook. Each is thin: its work is done by the module of its noun."""

from __future__ import annotations

import functools
import os
import shlex
import sys
from collections.abc import Callable
from html import escape

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, cell_magic, line_cell_magic, line_magic, magics_class, needs_local_scope
from IPython.display import Markdown, display
from sql.connection import Connection as SqlConnection
from sql.magic import SqlMagic
from sqlalchemy import event

from . import answers, command, grading, look
from . import lesson as lessons
from .course import Exercise, Lesson, find_exercise, find_lesson
from .errors import LabError, in_words
from .progress import Progress, report
from .runner import Runner
from .workspace import Workspace


def verb(method: Callable) -> Callable:
    """Let a magic fail in words."""

    @functools.wraps(method)
    def speaking(*arguments, **named):
        with in_words():
            return method(*arguments, **named)

    return speaking


@magics_class
class LabMagics(Magics):
    """``%lesson``, ``%alembic``, ``%sql``, ``%schema``, ``%check`` and their kin; one place is open at a time."""

    def __init__(self, shell: InteractiveShell):
        super().__init__(shell)
        self.opened: lessons.Opened | None = None
        self.sql_magic = SqlMagic(shell)
        self.sql_magic.displaycon = self.sql_magic.feedback = False
        self.sql_magic.short_errors = True

    @line_magic
    @verb
    def lesson(self, line: str) -> None:
        """%lesson NUMBER [--reset]: open a lesson, its database and its Alembic project."""
        words, reset = _with_reset(line)
        place = find_lesson(words)
        self._open(place, reset)
        Progress(self.opened.workspace).opened(place)

    @line_magic
    @verb
    def exercise(self, line: str) -> None:
        """%exercise ID [--reset]: open an exercise's own database and Alembic project, to try things out."""
        words, reset = _with_reset(line)
        self._open(find_exercise(words), reset)

    @line_magic
    @verb
    def alembic(self, line: str) -> None:
        """%alembic …: Alembic's command line, in the place that is open."""
        command.run(shlex.split(line), self._place().project, sys.stdout)

    @line_cell_magic
    @needs_local_scope
    @verb
    def sql(self, line: str, cell: str = "", local_ns: dict | None = None):
        """%sql …, %%sql: run SQL in the database of the place that is open (ipython-sql)."""
        self._place()
        result = self.sql_magic.execute(line, cell, local_ns)
        return result if getattr(result, "pretty", True) else None

    @line_magic
    @verb
    def schema(self, line: str) -> None:
        """%schema: the tables as a picture, with what changed since the last look marked."""
        display(look.look(self._place()))

    @cell_magic
    @verb
    def answer(self, line: str, cell: str) -> None:
        """%%answer ID FILE: write the cell into a file of the exercise's project."""
        exercise, file = _exercise_and_file(line)
        print(answers.write(exercise, file, cell, Workspace()))
        Runner.warm_up()

    @line_magic
    @verb
    def check(self, line: str) -> None:
        """%check ID: grade the exercise on a fresh database."""
        exercise = self._exercise(line, "check")
        workspace = Workspace()
        grade = grading.check(exercise, workspace)
        Progress(workspace).graded(grade)
        _show(str(grade))
        Runner.warm_up()

    @line_magic
    @verb
    def hint(self, line: str) -> None:
        """%hint ID: the next hint."""
        exercise = self._exercise(line, "hint")
        number, text = Progress(Workspace()).next_hint(exercise)
        _show(f"Hint {number} of {len(exercise.hints)}: {text}")

    @line_magic
    @verb
    def solution(self, line: str) -> None:
        """%solution ID: the solution, after a pass or three honest tries."""
        exercise = self._exercise(line, "solution")
        parts = answers.solution(exercise, Workspace())
        display(Markdown("\n\n".join(f"`{name}`\n\n```python\n{text}```" for name, text in parts.items())))

    @line_magic
    @verb
    def progress(self, line: str) -> None:
        """%progress: what is done, what is next."""
        print(report(Progress(Workspace())))

    def _open(self, place: Lesson | Exercise, reset: bool) -> None:
        self._disconnect()
        opened = lessons.open(place, reset)
        os.environ.update(opened.variables())
        os.chdir(opened.project)
        self._connect(opened)
        self.opened = opened
        print(opened)

    def _connect(self, opened: lessons.Opened) -> None:
        connection = SqlConnection(opened.url.render_as_string(hide_password=False))
        event.listen(connection.internal_connection.engine, "handle_error", _brief)

    def _disconnect(self) -> None:
        for connection in SqlConnection.connections.values():
            connection.internal_connection.invalidate()
            connection.internal_connection.close()
        SqlConnection.connections.clear()
        SqlConnection.current = None

    def _place(self) -> lessons.Opened:
        if self.opened is None:
            raise LabError("No lesson is open in this notebook. Run its first cell, or `%lesson NUMBER`, then try again.")
        return self.opened

    def _exercise(self, words: str, verb: str) -> Exercise:
        if not words.strip() and self.opened and isinstance(self.opened.place, Lesson) and self.opened.place.exercises:
            names = " or ".join(f"%{verb} {exercise.id}" for exercise in self.opened.place.exercises)
            raise LabError(f"Which exercise? Here it is {names}.")
        return find_exercise(words)


def register(shell: InteractiveShell) -> None:
    shell.register_magics(LabMagics(shell))


def _with_reset(line: str) -> tuple[str, bool]:
    words = line.split()
    return " ".join(word for word in words if word != "--reset"), "--reset" in words


def _exercise_and_file(line: str) -> tuple[Exercise, str]:
    words = line.split()
    if len(words) != 2:
        raise LabError("An answer cell begins with `%%answer ID FILE`, for example the one that the lesson gave you.")
    return find_exercise(words[0]), words[1]


def _brief(context) -> None:
    """Leave PostgreSQL's own sentence of an error: not the statement again, and no link about SQLAlchemy."""
    if error := context.sqlalchemy_exception:
        error.statement = error.code = None


def _show(text: str) -> None:
    colour = {"✔": "#009E73", "✘": "#D55E00", "!": "#D55E00"}.get(text[0], "#0072B2")
    style = f"border-left: 4px solid {colour}; padding: 0.5em 1em; white-space: pre-wrap; font-family: inherit"
    display({"text/plain": text, "text/html": f'<pre style="{style}">{escape(text)}</pre>'}, raw=True)
