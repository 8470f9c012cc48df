"""The verbs in a terminal: the same results as in a notebook, a status for scripts, a sentence where it fails."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from migration_lab.cli import main
from migration_lab.course.manifest import exercises, find, find_exercise, find_lesson, lessons
from migration_lab.learner import Grade, Outcome, Progress, lesson

EXERCISE = find_exercise("first_step")
ANSWER = "migrations/versions/0004_city.py"
on_posix = pytest.mark.skipif(os.name == "nt", reason="uses signals or a terminal as POSIX systems have them")


@pytest.fixture(autouse=True)
def in_no_place(workspace, monkeypatch):
    """A terminal of its own, whatever this one is in."""
    monkeypatch.delenv("LAB_PLACE", raising=False)


@pytest.fixture
def terminal(capsys):
    """``terminal("open", "00")`` → (exit status, what it printed, what it said on stderr)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = main(list(arguments))
        except SystemExit as end:  # argparse's way out
            status = end.code
        out, err = capsys.readouterr()
        return status, out.strip(), err.strip()

    return run


def write_answer(workspace, name: str) -> None:
    """The solution, or one of the wrong answers, where a learner would write it."""
    folder = EXERCISE.folder / "solution" if name == "solution" else EXERCISE.wrong[name]
    project = lesson.open_place(EXERCISE, workspace=workspace).project
    (project / ANSWER).write_text((folder / ANSWER).read_text("utf-8"), "utf-8")


# Twins


def test_open_and_reset_are_lesson(terminal, shell, workspace):
    """Someone who goes from the notebook to a terminal must be where they were."""
    project = workspace.project("lesson_00")
    in_notebook = shell("%lesson 00").text
    assert terminal("open", "00") == (0, f"{in_notebook}\nProject   {project}", "")
    (project / "mine.sql").write_text("…", encoding="utf-8")
    status, said, _ = terminal("reset", "00")
    assert status == 0
    way_back = shell("%lesson 00 --reset").text.splitlines()[-1]
    assert "`lab back 00`" in way_back
    assert re.fullmatch(
        rf"{in_notebook}\nYour files were saved in backups/lesson_00-\S+\n{re.escape(way_back)}\nProject   .*", said
    )
    assert not (project / "mine.sql").exists()
    assert terminal("open", "first_step")[1].splitlines()[1].startswith("Database  exercise_first_step_")


@pytest.mark.parametrize("name", ["starter", "no_way_back", "solution"])
def test_check_is_check(terminal, shell, workspace, name):
    if name != "starter":
        write_answer(workspace, name)
    status, said, steps = terminal("check", "first_step")
    in_notebook = shell("%check first_step").text
    if name == "starter":
        begin = "○ Not attempted: the starter is unchanged. Write your answer"
        file = workspace.project("exercise_first_step") / ANSWER
        assert in_notebook == f"{begin}, run its cell, check again."
        named = file.relative_to(Path.cwd())
        assert said == f"{begin} into {named}, then check again.", "a terminal has no cell to run"
        assert file.is_file(), "it names a file that is not there"
    else:
        assert said == in_notebook.replace("`%", "`lab ")
    if name == "solution":
        up, down = "… alembic upgrade head", "… alembic downgrade 0003_orders"
        assert steps.splitlines() == [up, down, up], "who waits for a grading sees at which step it is"
    assert status == (0 if name == "solution" else 1), "a script can't tell a pass from the rest"


def test_hints_go_on_where_the_notebook_left_off(terminal, shell):
    shell("%hint first_step")
    assert terminal("hint", "first_step") == (0, f"Hint 2 of {len(EXERCISE.hints)}: {EXERCISE.hints[1]}", "")


@pytest.mark.parametrize("folder", [".", "projects", "projects/lesson_00/migrations", ".."])
def test_the_file_to_edit_is_named_from_where_one_is(terminal, workspace, monkeypatch, folder):
    """The path goes into an editor's command line as it stands."""
    (workspace.path / folder).mkdir(parents=True, exist_ok=True)
    monkeypatch.chdir(workspace.path / folder)
    file = terminal("check", "index_online")[1].split(" into ")[1].removesuffix(", then check again.")
    assert Path(file).is_file() and not Path(file).is_absolute()
    *others, last = re.split(", | and ", terminal("check", "capstone")[1].split(" into ")[1].split(", then")[0])
    assert len(others) == 3 and all(Path(file).is_file() for file in [*others, last])


def test_solution_is_solution(terminal, shell, workspace):
    """Each names the verb that helps as it is typed there."""
    refusal = shell("%solution first_step").text
    assert "`%hint first_step` helps until then." in refusal
    assert terminal("solution", "first_step") == (1, "", refusal.replace("`%hint", "`lab hint"))
    write_answer(workspace, "solution")
    assert terminal("check", "first_step")[0] == 0
    solution = (EXERCISE.folder / "solution" / ANSWER).read_text("utf-8").strip()
    status, said, steps = terminal("solution", "first_step")
    assert status == 0
    assert said.startswith(f"# {ANSWER}\n{solution}\n\nWhy, and when not\n\n{EXERCISE.explanation}\n\nYour answer")
    assert steps == "… both: alembic upgrade head", "it takes some seconds, and nobody knows why"
    assert solution in shell("%solution first_step").shown["text/markdown"]


def test_golf_is_golf(terminal, shell, workspace):
    refusal = shell("%golf first_step").text
    assert terminal("golf", "first_step") == (1, "", refusal)
    write_answer(workspace, "solution")
    assert terminal("check", "first_step")[0] == 0
    assert terminal("golf", "first_step") == (0, shell("%golf first_step").text, "")


def test_progress_is_progress(terminal, shell, workspace):
    write_answer(workspace, "not_null")
    terminal("check", "first_step")
    terminal("open", "00")
    assert terminal("progress") == (0, shell("%progress").text.replace("%check", "lab check"), "")


def test_schema_is_schema(terminal, shell, monkeypatch):
    shell("%lesson 00")
    assert terminal("schema") == (0, shell("%schema").text, "")  # the kernel's LAB_PLACE is this process's too
    shell("%sql ALTER TABLE users ADD COLUMN nickname text")
    assert terminal("schema")[1].endswith("Changes:\n+ column users.nickname was added: text, nullable")


def test_schema_outside_of_a_lesson_says_how_to_get_into_one(terminal):
    assert terminal("schema") == (1, "", "No lesson is open in this terminal. `lab open NUMBER` opens one.")


def test_next_opens_what_progress_says_is_next(terminal, shell, workspace):
    """A lesson with its notebook's name; then, as it was opened, its exercise with the file to edit."""
    assert shell("%progress").text.splitlines()[-2].endswith("Next: lesson 00, Start here.")
    status, said, _ = terminal("next")
    assert status == 0
    assert said.splitlines()[-2:] == [f"Project   {workspace.project('lesson_00')}", "Notebook  00_start_here.ipynb"]

    assert shell("%progress").text.splitlines()[-2].endswith("Next: %check first_step, in lesson 00.")
    assert terminal("progress")[1].splitlines()[-2].endswith("Next: lab check first_step, in lesson 00.")
    status, said, _ = terminal("next")
    assert status == 0
    assert said.splitlines()[1:2] == [f"Database  exercise_first_step_{workspace.tag}"]
    assert said.splitlines()[-4:] == [
        f"Project   {workspace.project('exercise_first_step')}",
        f"Task      {EXERCISE.title}, in 00_start_here.ipynb",
        f"Edit      {ANSWER}",
        "`lab watch first_step` checks it each time that you save.",
    ]


def test_when_all_is_done_next_says_so(terminal, workspace):
    progress = Progress(workspace)
    for lesson_ in lessons().values():
        progress.opened(lesson_)
    for exercise in exercises().values():
        progress.graded(Grade(exercise, Outcome.PASSED, "…"))
    assert terminal("next") == (0, "All lessons were opened, and all exercises are passed.", "")
    assert terminal("watch") == (1, "", "All exercises are passed. To work at one again, name it.")


# What people type


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["open", "colums"], 'There is no lesson or exercise "colums". The nearest is 02.'),
        (["open", "frist_step"], 'There is no lesson or exercise "frist_step". The nearest is first_step.'),
        (["reset"], "Which lesson or exercise? Lessons go from 00 to "),
        (["check", "frist_step"], 'There is no exercise "frist_step". The nearest is first_step.'),
        (["hint"], "Which exercise? `lab progress` lists the exercises of every lesson."),
        (["solution", "77"], 'There is no exercise "77". `lab progress` lists the exercises of every lesson.'),
        (["check", "00"], "00 is a lesson, and an exercise is needed. Lesson 00 has first_step."),
        (["hint", "columns_and_types"], "columns_and_types is a lesson, and an exercise is needed. Lesson 02 has "),
        (["help", "chek"], 'There is no verb "chek". The nearest is check.'),
    ],
    ids=" ".join,
)
def test_an_unknown_name_is_answered_with_the_nearest(terminal, arguments, sentence):
    status, out, err = terminal(*arguments)
    assert (status, out) == (1, "")
    assert err.startswith(sentence)
    assert len(err.splitlines()) == 1
    assert len(err) < 160, "a list of 37 exercises in one line is no help"


def test_where_a_lesson_is_open_its_exercises_are_named(terminal, monkeypatch):
    """Whoever types a wrong name means one of these, as a rule."""
    monkeypatch.setenv("LAB_PLACE", "lesson_02")
    here = "Lesson 02 has reviews_table and fill_old_rows."
    assert terminal("check", "rewiews")[2] == f'There is no exercise "rewiews". The nearest is reviews_table. {here}'
    assert terminal("hint")[2] == f"Which exercise? {here} `lab progress` lists the exercises of every lesson."
    monkeypatch.setenv("LAB_PLACE", "exercise_fill_old_rows")
    assert here in terminal("check", "xyz")[2]
    assert here not in terminal("open", "colums")[2], "a lesson was meant"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["opne", "00"], "invalid choice: 'opne'. The nearest is open. `lab help` describes every verb."),
        (["check", "first_step", "--jsn"], "lab check: error: unrecognized arguments: --jsn. The nearest is --json."),
        ([], "the following arguments are required: VERB"),
        (["progress", "--json"], "unrecognized arguments: --json"),
        (["open", "00", "01"], "unrecognized arguments: 01"),
        (["start", "--postgres"], "--postgres: expected one argument"),
        (["start", "--postgrse", "docker"], "unrecognized arguments: --postgrse. The nearest is --postgres."),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_shows_how_it_goes(terminal, arguments, sentence):
    status, out, err = terminal(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("usage: lab")
    assert sentence in err


def test_help_says_what_each_verb_does(terminal):
    status, said, _ = terminal("--help")
    assert status == 0
    for verb in (
        "start",
        "open",
        "reset",
        "back",
        "next",
        "watch",
        "check",
        "hint",
        "solution",
        "schema",
        "progress",
        "doctor",
        "stop",
    ):
        assert re.search(rf"^    {verb} +\w", said, re.M), verb


def test_help_is_help(terminal):
    """Many programs have both, and people try either."""
    assert terminal("help") == terminal("--help")
    assert terminal("help", "check") == terminal("check", "--help")


def test_the_version_names_what_a_report_of_a_bug_needs(terminal):
    status, said, _ = terminal("--version")
    assert status == 0
    assert re.fullmatch(
        r"migration-lab \d+\.\d+\.\d+, migration-xray \d+\.\d+\.\d+, alembic 1\.\S+, sqlalchemy 2\.\S+, "
        r"psycopg 3\.\S+, jupyterlab 4\.\S+",
        said,
    )


@pytest.mark.parametrize("place", ["lesson_99", "exercise_gone"])
def test_a_place_that_the_course_no_longer_has(terminal, monkeypatch, place):
    """A terminal that stayed open over a `git pull`."""
    monkeypatch.setenv("LAB_PLACE", place)
    status, out, err = terminal("schema")
    assert (status, out) == (1, "")
    assert err.startswith("There is no lesson or exercise")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgresql://lab@127.0.0.1:1/postgres", "PostgreSQL at 127.0.0.1:1 refused the session: nothing listens"),
        ("sqlite:///lab.db", "That is a sqlite URL, and this works with PostgreSQL 15 or newer only."),
        ("oracle", 'There is no server "oracle".'),
    ],
)
def test_a_server_that_cannot_be_had_is_one_sentence(terminal, monkeypatch, url, sentence):
    monkeypatch.setenv("LAB_POSTGRES", url)
    status, out, err = terminal("open", "00")
    assert (status, out) == (1, "")
    assert err.startswith(sentence)
    assert len(err.splitlines()) == 1


# Terminals


@pytest.fixture
def here(workspace, running):
    """The variables of a terminal in this workspace, on the shared server."""
    return {"LAB_WORK": workspace.path, "LAB_POSTGRES": running.url.render_as_string(hide_password=False)}


def test_output_is_utf_8_even_where_the_locale_is_c(lab, here):
    """Containers and CI run in the C locale: `lab progress` ended in UnicodeEncodeError at its first ○."""
    process = lab("progress", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", **here)
    assert process.returncode == 0, process.said
    assert process.said.startswith("○ 00  Start here\n")


def test_output_of_words_that_are_no_text_at_all(terminal):
    """A name from a terminal in another encoding comes as surrogates, which can't be printed."""
    status, _, err = terminal("open", "le\udce7on")
    assert status == 1
    assert err.startswith('There is no lesson or exercise "le')


@on_posix
@pytest.mark.parametrize("reader", ["head -1", "true"])
def test_a_reader_that_stops_reading_is_no_failure(here, reader):
    """`lab progress | head -2` ended with "A file: Broken pipe. Check that you may write there."."""
    for verb in ("progress", "doctor", "--help"):
        piped = f'{{ "{sys.executable}" -m migration_lab {verb}; echo "status $?" >&2; }} | {reader}'
        done = subprocess.run(["sh", "-c", piped], env=os.environ | here, capture_output=True, text=True)
        assert done.stderr.strip() == "status 0"


@on_posix
def test_a_reader_that_stops_reading_hides_no_failure(here):
    """A script that reads the first line only must still learn that something is wrong."""
    piped = f'{{ "{sys.executable}" -m migration_lab doctor; echo "status $?" >&2; }} | true'
    done = subprocess.run(
        ["sh", "-c", piped], env=os.environ | here | {"LAB_POSTGRES": "dokcer"}, capture_output=True, text=True
    )
    assert done.stderr.strip() == "status 1"


@on_posix
def test_a_reader_that_stops_reading_stops_no_migration(here, workspace, lab):
    """`lab xray upgrade head | head -1` would break the migration off at its first line of output."""
    assert lab("open", "00", **here).returncode == 0
    project = workspace.project("lesson_00")
    shutil.copy(EXERCISE.folder / "solution" / ANSWER, project / ANSWER)
    opened = lesson.open_place(find_lesson("00"), workspace=workspace)
    piped = f'{{ "{sys.executable}" -m migration_lab xray upgrade head; echo "status $?" >&2; }} | true'
    variables = os.environ | here | opened.variables()
    done = subprocess.run(["sh", "-c", piped], cwd=project, env=variables, capture_output=True, text=True)
    assert done.stderr.strip() == "status 0"
    assert lesson.revision(opened.server, opened.database) == "0004_city"


@pytest.mark.parametrize("verb", [("xray", "upgrade", "head"), ("revisions",), ("check", "first_step")])
def test_a_file_of_the_project_that_is_gone_is_named_with_the_reset(terminal, workspace, monkeypatch, verb):
    """In the words of a terminal: it has no %lesson."""
    name = "first_step" if verb[0] == "check" else "05"
    write_answer(workspace, "solution")
    opened = lesson.open_place(find(name), workspace=workspace)
    for variable, value in opened.variables().items():
        monkeypatch.setenv(variable, value)
    monkeypatch.chdir(opened.project)
    lost = "alembic.ini" if verb[0] == "revisions" else "migrations/env.py"
    (opened.project / lost).unlink()
    status, out, err = terminal(*verb)
    assert status == 1
    mend = f"{lost} is missing from the project; `lab reset {name}` writes it again, and saves your files first."
    assert [*err.splitlines(), *out.splitlines()][-1] == mend


@on_posix
def test_ctrl_c_ends_without_a_traceback(lab, here, workspace):
    with workspace.locked("lesson_00"):
        process = lab("open", "00", wait=False, **here)
        until = time.monotonic() + 60
        while not any(file.path.endswith("lesson_00.lock") for file in psutil.Process(process.pid).open_files()):
            assert time.monotonic() < until, "it never came to wait for the lock"
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGINT)
        said = process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert "Traceback" not in said


@on_posix
@pytest.mark.parametrize("verb", ["open 00", "next"])
def test_open_in_a_terminal_is_a_shell_in_the_project(here, workspace, verb):
    """alembic, psql and lab mean the lesson there; `exit` leads back."""
    master, slave = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "migration_lab", *verb.split()],
        env=os.environ | {name: str(value) for name, value in here.items()} | {"SHELL": "/bin/sh"},
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    os.close(slave)
    os.write(master, b'echo "$LAB_PLACE in $(pwd) on $PGDATABASE"; lab open 00; alembic current; exit\n')
    said = process.communicate(timeout=60)[0]
    os.close(master)
    assert process.returncode == 0
    assert f"lesson_00 in {workspace.project('lesson_00')} on lesson_00_{workspace.tag}" in said
    assert said.count("This is a shell in the project") == 1, "`lab open` within the place opened a shell in the shell"
    assert "0003_orders (head)" in said


def test_the_course_that_is_not_there_is_one_sentence(tmp_path):
    """Installed with pip, without its clone: there are no lessons beside the package."""
    code = (
        "import sys; from pathlib import Path; from migration_lab.course import manifest as course\n"
        "course.NOTEBOOKS = Path('nowhere/notebooks')\n"
        "from migration_lab.cli import main; sys.exit(main(['progress']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"LAB_WORK": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("The course is not here:")
    assert len(done.stderr.splitlines()) == 1
