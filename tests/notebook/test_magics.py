"""The verbs in a notebook: what a learner reads under a cell, when all goes well and when it does not.

``shell`` is an IPython in this process (see conftest.py); the server, the files and the exercises are real.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from migration_lab.author.refresh import new_learner
from migration_lab.course.manifest import find_exercise
from migration_lab.runner import Runner, forked
from migration_lab.server import startstate
from migration_lab.server.embedded import Embedded
from migration_lab.server.postgres import as_url
from migration_xray.errors import UserError

EXERCISE = find_exercise("first_step")
ANSWER = "migrations/versions/0004_city.py"
SOLUTION = (EXERCISE.folder / "solution" / ANSWER).read_text(encoding="utf-8")
WRONG = {name: (folder / ANSWER).read_text(encoding="utf-8") for name, folder in EXERCISE.wrong.items()}


@pytest.fixture
def lesson(shell):
    """A shell in which lesson 00 is open."""
    assert shell("%lesson 00").error is None
    return shell


def refused(ran) -> str:
    """The sentence of a cell that failed in words, and no more than that."""
    assert isinstance(ran.error, UserError), ran
    assert ran.text == str(ran.error)
    return ran.text


# Before a lesson is open


@pytest.mark.parametrize("cell", ["%sql SELECT 1", "%%sql\nSELECT 1", "%alembic current", "%schema"])
def test_a_verb_of_a_lesson_says_that_none_is_open(shell, cell):
    """People start in the middle of a notebook, or restart its kernel and go on where they were."""
    assert refused(shell(cell)) == (
        "No lesson is open in this notebook. `%lesson NUMBER` opens one, for example `%lesson 00`."
    )


def test_a_check_needs_no_open_lesson(shell):
    """It grades the exercise's own files, wherever the notebook stands."""
    assert shell("%check first_step").text.startswith("○ Not attempted: the starter is unchanged.")
    shell(f"%%answer first_step {ANSWER}\n{SOLUTION}")
    assert shell("%check first_step").text.startswith("✔ Passed")


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("%lesson colums", 'There is no lesson "colums". The nearest is 02.'),
        ("%lesson 00 --rest", 'There is no lesson "00 --rest". Lessons go from 00 to '),
        ("%lesson", "Which lesson? Lessons go from 00 to "),
        ("%lesson --reset", "Which lesson? Lessons go from 00 to "),
        ("%exercise frist_step", 'There is no exercise "frist_step". The nearest is first_step.'),
        ("%check frist_step", 'There is no exercise "frist_step". The nearest is first_step.'),
        ("%hint xyz", 'There is no exercise "xyz". `%progress` lists the exercises of every lesson.'),
        ("%solution", "Which exercise? `%progress` lists the exercises of every lesson."),
        ("%check 00", "00 is a lesson, and an exercise is needed. Lesson 00 has first_step."),
        ("%%answer frist_step a.py\nx", 'There is no exercise "frist_step". The nearest is first_step.'),
        ("%%answer first_step\nx", "An answer cell begins with `%%answer ID FILE`"),
        ("%%answer first_step ../../mine.py\nx", "../../mine.py is not in the exercise's project."),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(shell, cell, sentence):
    assert refused(shell(cell)).startswith(sentence)


# A lesson


def test_a_lesson_prints_three_lines_and_moves_there(lesson, workspace):
    ran = lesson("%lesson 00")
    assert re.fullmatch(r"Server    PostgreSQL .+\nDatabase  lesson_00_\w{6}\nRevision  0003_orders", ran.text)
    assert os.getcwd() == str(workspace.project("lesson_00"))
    assert os.environ["PGDATABASE"] == f"lesson_00_{workspace.tag}"


def test_a_reset_is_told_with_the_place_of_ones_files(lesson, workspace):
    lesson("open('mine.sql', 'w').write('…')")
    *_, saved, way_back = lesson("%lesson 00 --reset").text.splitlines()
    assert saved.startswith("Your files were saved in backups/lesson_00-")
    assert (workspace.path / saved.removeprefix("Your files were saved in ") / "mine.sql").exists()
    assert way_back.startswith("`%lesson 00 --back` brings back the database and the files")


def test_an_exercise_opens_to_try_things_out(shell):
    assert "Database  exercise_first_step_" in shell("%exercise first_step").text
    assert shell("%sql SELECT current_database()").value[0][0].startswith("exercise_first_step_")


def test_another_lesson_takes_the_place_of_the_first(lesson):
    """%sql went on to the lesson before, and people altered the wrong database."""
    lesson("%lesson 02")
    assert lesson("%sql SELECT current_database()").value[0][0].startswith("lesson_02_")
    assert lesson("!pwd").text.endswith("lesson_02")


# %sql


def test_sql_shows_rows_and_nothing_else(lesson):
    """ipython-sql prints where it is connected, with the password beside it, and counts rows; both drown the lesson."""
    ran = lesson("%sql SELECT id, name FROM users ORDER BY id LIMIT 2")
    assert ran.text == "Out[0]: [(1, 'Ben Baker'), (2, 'Chloe Costa')]"
    assert "<td>Ben Baker</td>" in ran.value._repr_html_()
    assert str(ran.value).splitlines()[1].split() == ["|", "id", "|", "name", "|"], "prettytable draws no table"
    for quiet in ("%sql UPDATE users SET age = NULL WHERE id = 1", "%sql ALTER TABLE users ADD nickname text", "%sql"):
        assert lesson(quiet).text == ""


def test_sql_commits_and_takes_several_statements(lesson):
    ran = lesson("%%sql\nINSERT INTO users (name, email) VALUES ('Zoë', 'z@example.com');\nSELECT count(*) FROM users")
    assert ran.value == [(1001,)]
    assert lesson("import psycopg; psycopg.connect().execute('SELECT count(*) FROM users').fetchone()").value == (1001,)


def test_sql_takes_python_values_and_gives_them(lesson):
    lesson("wanted = 3")
    lesson("rows = %sql SELECT id FROM users WHERE id = :wanted")
    assert lesson("[tuple(row) for row in rows]").value == [(3,)]


def test_sql_keeps_a_data_frame_as_a_table(lesson):
    """ipython-sql is imported without pandas, which makes a kernel slow to start; --persist must not miss it."""
    lesson("import pandas; prices = pandas.DataFrame({'price': [1, 2]})")
    assert lesson("%sql --persist prices").error is None
    assert lesson("%sql SELECT sum(price) FROM prices").value[0] == (3,)


def test_a_kernel_gets_ready_without_pandas():
    """It is a third of the time in which the first cell of a notebook gets ready."""
    loaded = "import sys, migration_lab.notebook.magics; print('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("SELECT nope FROM users", 'UndefinedColumn: column "nope" does not exist'),
        ("SELEC 1", 'SyntaxError: syntax error at or near "SELEC"'),
        ("INSERT INTO orders (user_id, total) VALUES (0, 1)", "ForeignKeyViolation: insert or update"),
        ("SELECT 1 / 0", "DivisionByZero: division by zero"),
    ],
)
def test_what_postgresql_refuses_is_said_in_its_own_few_words(lesson, statement, sentence):
    """Sixty lines of SQLAlchemy's frames, the statement again and a link: the one line that helps is never read."""
    ran = lesson(f"%sql {statement}")
    assert ran.text.startswith(sentence)
    assert len(ran.text.splitlines()) <= 4
    assert "Traceback" not in ran.text
    assert "sqlalche.me" not in ran.text
    assert lesson("%sql SELECT 1").value == [(1,)], "the failed statement left its transaction behind"


def test_an_error_reads_alike_whichever_magic_met_it(lesson):
    """One was red, the next plain and in other words: people took the plain one for a result."""
    sql = "INSERT INTO orders (user_id, total) VALUES (0, 1)"
    migration = BROKEN.replace("ALTER TABLE nowhere ADD COLUMN x text", sql)
    lesson(f"open('migrations/versions/0004_broken.py', 'w').write({migration!r})")
    said = lesson(f"%sql {sql}").text
    assert said.startswith("ForeignKeyViolation: insert or update on table")
    assert said.splitlines()[1].startswith("  DETAIL: Key (user_id)=(0) is not present")
    assert lesson(f"%session other {sql}").text == said
    assert said in lesson("%alembic upgrade head").text


def test_an_error_of_sql_goes_where_errors_go(lesson):
    """JupyterLab gives standard error the ground that it gives errors; the cell goes on, as lessons rely on."""
    with capture_output() as captured:
        InteractiveShell.instance().run_cell("%sql SELEC 1\nprint('and on')")
    assert captured.stderr == 'SyntaxError: syntax error at or near "SELEC"\n  LINE 1: SELEC 1\n          ^\n'
    assert captured.stdout == "and on\n"


def test_a_detail_of_several_lines_stands_under_its_word(lesson):
    """The second line stood at the edge, like an error of its own."""
    lesson("%sql CREATE TABLE bills (order_id int REFERENCES orders); CREATE VIEW sums AS SELECT total FROM orders")
    detail = re.compile(
        r"^  DETAIL: .* depends on table orders\n    \S.* depends on table orders\n  HINT: Use DROP \.\.\. CASCADE",
        re.M,
    )
    assert detail.search(lesson("%sql DROP TABLE orders").text)
    assert detail.search(lesson("%session other DROP TABLE orders").text)


@pytest.mark.parametrize(
    ("statement", "instead"),
    [
        ("BEGIN", "%sql commits after every statement, so it knows no BEGIN."),
        (r"\d users", r"psql's own commands work in a shell: !psql -c '\d users'"),
        ("""SELECT '{"a":1}'::jsonb""", "In a JSON literal write a space after the colon"),
        ("SELECT :nobody", "for a Python variable of yours, and there is none of that name"),
    ],
)
def test_what_ipython_sql_cannot_do_is_said_in_a_sentence(lesson, statement, instead):
    """Each is something that anyone who knows psql types in the first hour; each was a page of traceback."""
    assert instead in refused(lesson(f"%sql {statement}"))


# %alembic and %schema

BROKEN = """
from alembic import op

revision = "0004_broken"
down_revision = "0003_orders"


def upgrade() -> None:
    op.execute("ALTER TABLE nowhere ADD COLUMN x text")
"""


def test_alembic_that_fails_stops_run_all_with_a_sentence_and_the_line(lesson):
    """Under a traceback through Alembic and SQLAlchemy nobody finds the line of the migration."""
    lesson(f"open('migrations/versions/0004_broken.py', 'w').write({BROKEN!r})")
    ran = lesson("%alembic upgrade head")
    assert isinstance(ran.error, UserError)
    assert ran.text.splitlines()[-2:] == [
        'UndefinedTable: relation "nowhere" does not exist',
        """  in migrations/versions/0004_broken.py, line 9: op.execute("ALTER TABLE nowhere ADD COLUMN x text")""",
    ]
    assert "Traceback" not in ran.text
    assert lesson("%alembic current").text.splitlines()[-1] == "0003_orders"


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("migrations/env.py", "%alembic upgrade head"),
        ("migrations/env.py", "%xray upgrade head"),
        ("migrations/script.py.mako", "%alembic revision -m x"),
        ("alembic.ini", "%alembic upgrade head"),
        ("alembic.ini", "%revisions"),
        ("migrations", "%revisions"),
    ],
)
def test_a_file_of_the_project_that_is_gone_is_named_with_the_reset(lesson, workspace, name, cell):
    """Alembic says that it can't find a Python file, and nobody thinks of the reset, which saves one's own files too."""
    file = workspace.project("lesson_00") / name
    shutil.rmtree(file) if file.is_dir() else file.unlink()
    ran = lesson(cell)
    assert isinstance(ran.error, UserError)
    mend = f"{name} is missing from the project; `%lesson 00 --reset` writes it again, and saves your files first."
    assert ran.text.splitlines()[-1] == mend
    lesson("%lesson 00 --reset")
    assert mend not in lesson(cell).text


def test_a_missing_file_is_not_blamed_for_another_error(lesson, workspace):
    """A cause is named only where it is one: this migration fails with the file and without it."""
    (workspace.project("lesson_00") / "migrations/script.py.mako").unlink()
    lesson(f"open('migrations/versions/0004_broken.py', 'w').write({BROKEN!r})")
    assert "missing" not in lesson("%alembic upgrade head").text


def test_a_lesson_without_a_project_of_ours_names_no_reset_for_it(shell):
    """In lesson 01, `alembic init` is still to come: there is nothing that a reset would write."""
    shell("%lesson 01")
    assert "reset" not in shell("%alembic history").text


def test_an_exercise_whose_env_py_is_gone_names_its_own_reset(shell, workspace):
    shell(f"%%answer first_step {ANSWER}\n{SOLUTION}")
    (workspace.project("exercise_first_step") / "migrations/env.py").unlink()
    mend = "migrations/env.py is missing from the project; `%exercise first_step --reset` writes it again"
    assert mend in shell("%check first_step").text


@pytest.mark.parametrize("verb", ["alembic", "xray"])
def test_a_verb_of_alembics_alone_says_what_to_do(lesson, verb):
    """Alembic's usage, an empty report and two sentences about an exit status were the answer."""
    assert refused(lesson(f"%{verb}")) == f"What should Alembic do? For example: %{verb} upgrade head"


def test_an_option_that_alembic_does_not_know_is_told_once(lesson):
    ran = lesson("%xray --jsn upgrade head")
    assert isinstance(ran.error, UserError)
    assert ran.text.startswith("usage: alembic ")
    assert ran.text.splitlines()[-1] == "alembic: error: unrecognized arguments: --jsn"
    assert "seen on PostgreSQL" not in ran.text, "there is nothing to report of a command that did not begin"


def test_alembic_takes_quoted_words(lesson):
    assert "0004_add_city" in lesson('%alembic revision -m "add the city" --rev-id 0004_add_city').text
    assert lesson("%alembic history -r 0003_orders:").text.splitlines()[0].endswith("(head), add the city")


def test_alembic_with_half_a_quotation_is_told_so(lesson):
    assert "A quotation mark is missing" in refused(lesson("""%alembic revision -m "it's"""))


def test_schema_marks_what_changed_since_the_last_look(lesson):
    """In a picture of twenty tables nobody finds the one column that a migration has added."""
    first = lesson("%schema")
    assert 'alt="Diagram of 3 tables: orders, products and users."' in first.shown["text/html"]
    assert "%3Csvg" in first.shown["text/html"] and "image/svg+xml" not in first.shown
    assert "Changes:" not in first.text
    lesson("%sql ALTER TABLE users ADD COLUMN nickname text")
    second = lesson("%schema")
    assert "+ nickname" in second.text
    assert second.text.endswith("Changes:\n+ column users.nickname was added: text, nullable")
    assert "Changed since the last look: column users.nickname was added: text, nullable." in second.shown["text/html"]
    assert "Changes:" not in lesson("%schema").text


def test_schema_does_not_compare_across_a_reset(lesson):
    """The reset is no migration: a picture of all that it took back would be read as one."""
    lesson("%sql ALTER TABLE users ADD COLUMN nickname text")
    lesson("%schema")
    lesson("%lesson 00 --reset")
    assert "Changes:" not in lesson("%schema").text


def test_schema_does_not_wait_for_ever(lesson):
    """Looking at what an open transaction has locked is the first thing that people do; the cell hung."""
    lesson("import psycopg; holder = psycopg.connect(); _ = holder.execute('ALTER TABLE users ADD COLUMN x text')")
    assert "Another session holds that lock: end its transaction" in refused(lesson("%schema"))
    lesson("holder.rollback()")
    assert lesson("%schema").error is None
    lesson("holder.close()")


# Exercises


def test_an_exercise_from_the_first_look_to_the_solution(lesson):
    """The whole way of someone who needs help: three honest tries, the hints, the solution, and a pass."""
    assert refused(lesson("%check")) == "Which exercise? Here it is %check first_step."
    assert refused(lesson("%solution first_step")) == (
        "The solution of first_step opens when you pass, or after 3 honest tries (0 so far). "
        "`%hint first_step` helps until then."
    )
    hints = [lesson("%hint first_step").text for _ in range(len(EXERCISE.hints) + 1)]
    assert hints[:-1] == [f"Hint {n} of {len(EXERCISE.hints)}: {text}" for n, text in enumerate(EXERCISE.hints, 1)]
    assert hints[-1] == hints[-2]

    for tries, wrong in enumerate(list(WRONG.values())[:3], 1):
        written = lesson(f"%%answer first_step {ANSWER}\n{wrong}")
        assert written.text == f"Written to projects/exercise_first_step/{ANSWER}"
        for _ in range(2):  # the same answer again is no other try
            assert lesson("%check first_step").text[0] in "✘!"
        assert f"○ first_step: {tries} {'try' if tries == 1 else 'tries'} so far" in lesson("%progress").text

    opened = lesson("%solution first_step")
    assert SOLUTION in opened.shown["text/markdown"]
    assert EXERCISE.explanation in opened.shown["text/markdown"]
    assert "beside the solution" not in opened.text, "none of the three tries has passed"
    lesson(f"%%answer first_step {ANSWER}\n{SOLUTION}")
    ran = lesson("%check first_step")
    assert ran.text.startswith("✔ Passed")
    assert "✔ Passed" in ran.shown["text/html"]
    assert ran.text.endswith(
        "`%solution first_step` shows why, beside the solution. `%golf first_step` ranks your passes."
    )
    assert "✔ first_step: passed" in lesson("%progress").text
    assert lesson("%alembic current").text.splitlines()[-1] == "0003_orders (head)", "the check touched the lesson"


def test_progress_names_what_is_next(shell):
    assert "○ 00  Start here" in shell("%progress").text
    shell("%lesson 00")
    assert "◐ 00  Start here" in shell("%progress").text
    *_, upcoming, kept = shell("%progress").text.splitlines()
    assert upcoming.endswith("exercises passed. Next: %check first_step, in lesson 00.")
    assert kept == "Your first pass begins a page to keep: progress.html."


# What happens to a lesson from outside


def test_a_lesson_that_another_kernel_has_reset_goes_on(lesson):
    """One notebook in two browser tabs: the reset ends this kernel's session, which must not stay dead."""
    reset = [sys.executable, "-m", "migration_lab", "reset", "00"]
    subprocess.run(reset, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    ran = lesson("%sql SELECT 1")
    assert ran.value == [(1,)] or ran.text.startswith("AdminShutdown: terminating connection")
    assert lesson("%sql SELECT count(*) FROM users").value == [(1000,)]
    assert lesson("%alembic current").text.endswith("0003_orders (head)")
    assert lesson("%schema").error is None


def test_an_interrupted_statement_leaves_sql_usable(lesson):
    """The stop button on a statement that waits for a lock: the next cell must not need a new kernel."""
    lesson(
        "import os, signal, threading\n"
        "threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT]).start()\n"
        "%sql SELECT pg_sleep(600)"
    )
    assert lesson("%sql SELECT 1").value == [(1,)]


def test_deleted_projects_come_again(lesson, workspace, monkeypatch):
    """The kernel stands in a folder that is gone; %lesson must mend that, and a check must still find its way."""
    monkeypatch.setattr(Runner, "spare", None)
    monkeypatch.setattr(forked, "_server", None)
    lesson(f"%%answer first_step {ANSWER}\n{SOLUTION}")  # starts the next check's process, from this very folder
    shutil.rmtree(workspace.path / "projects")
    assert isinstance(lesson("%alembic current").error, UserError)
    assert lesson("%lesson 00").text.endswith("Revision  0003_orders")
    assert lesson("%alembic current").text.endswith("0003_orders (head)")
    lesson(f"%%answer first_step {ANSWER}\n{SOLUTION}")
    assert lesson("%check first_step").text.startswith("✔ Passed")


def test_a_deleted_work_folder_comes_again(lesson, workspace, running):
    with running.connect() as session:
        startstate.drop_database(session, f"lesson_00_{workspace.tag}")  # its tag is about to be forgotten
    shutil.rmtree(workspace.path)
    ran = lesson("%lesson 00")
    assert ran.text.endswith("Revision  0003_orders"), ran
    assert lesson("%progress").text.startswith("◐ 00")


@pytest.fixture
def own_server(monkeypatch, shell):
    """A shell in lesson 00 on a server of the test's own; with it, that server."""
    with new_learner() as workspace:
        server = Embedded(workspace)
        monkeypatch.setenv("LAB_WORK", str(workspace.path))
        monkeypatch.setenv("LAB_POSTGRES", as_url(**server.start()).render_as_string(hide_password=False))
        assert shell("%lesson 00").error is None
        yield shell, server
        os.chdir(tempfile.gettempdir())


def test_a_server_that_goes_away_is_told_in_words_and_lesson_mends_it(own_server):
    """Docker is stopped, the VPN ends, the laptop sleeps; pages of traceback say nothing of it."""
    shell, server = own_server
    shell(f"%%answer first_step {ANSWER}\n{SOLUTION}")
    shell("%sql ALTER TABLE users ADD COLUMN mine text")
    assert server.stop()

    assert shell("%sql SELECT 1").text.startswith("AdminShutdown: terminating connection")
    gone = shell("%sql SELECT 1").text
    assert "Connection refused" in gone
    assert len(gone.splitlines()) <= 2
    assert "Connection refused" in refused(shell("%alembic current"))
    assert "nothing listens there" in refused(shell("%schema"))
    checked = shell("%check first_step").text
    assert checked.startswith("! Could not run: PostgreSQL at 127.0.0.1:")
    assert checked.endswith("Your answer is not the cause.")
    assert "○ first_step: not tried" in shell("%progress").text
    assert "nothing listens there" in refused(shell("%lesson 00"))
    assert refused(shell("%sql SELECT 1")).startswith("No lesson is open in this notebook.")

    server.start()
    assert shell("%lesson 00").text.endswith("Revision  0003_orders")
    assert shell("%sql SELECT mine FROM users LIMIT 1").value == [(None,)], "the lesson is not as it was left"
    assert shell("%check first_step").text.startswith("✔ Passed")
