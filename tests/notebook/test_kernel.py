"""A fresh kernel, as after a night or a restart: it has the verbs, and its first cell goes on with the notebook's lesson.

The kernels are real, started as a front end starts them, with the settings that this environment was installed with.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from IPython import get_ipython
from tests.notebook.learner import Learner

from migration_lab.course.cells import Cell, code_cells
from migration_lab.course.manifest import find_exercise, lessons
from migration_lab.notebook.kernel import VERBS
from migration_lab.notebook.names import assigned
from migration_lab.notebook.own_notebook import lesson_notebook
from migration_lab.paths import ROOT

FIRST = "00_start_here.ipynb"
STARTS = "Lesson 00 has no database in this folder yet, so it begins at its start: revision 0003_orders.\n"
GOES_ON = "Lesson 00 goes on where you left it: revision {}.\n"
NOT_OPEN = "No lesson is open in this notebook. `%lesson NUMBER` opens one, for example `%lesson 00`."
CITY = find_exercise("first_step").folder / "solution" / "migrations/versions/0004_city.py"


@pytest.fixture
def learner(workspace, tmp_path, monkeypatch):
    """``learner("00_start_here.ipynb")``: the kernel of that notebook."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    kernels = []

    def start(notebook: str, **variables: str) -> Learner:
        kernels.append(Learner(notebook, **variables))
        return kernels[-1]

    yield start
    for kernel in kernels:
        kernel.end()


@pytest.fixture
def notebook(shell, monkeypatch):
    """``notebook("00_start_here.ipynb")``: the shell, as the kernel of that notebook. It has run no cell but %load_ext."""

    def named(name: str):
        monkeypatch.setenv("JPY_SESSION_NAME", name)
        return shell

    return named


def test_a_lesson_goes_on_after_a_restart(learner, workspace):
    """The most frequent stumble: whoever restarted in the middle read "magic not found", and a reset was the only cure."""
    kernel = learner(FIRST)
    written = kernel.run(f"%%writefile migrations/versions/0004_city.py\n{CITY.read_text('utf-8')}")
    assert written.text == f"{STARTS}Writing migrations/versions/0004_city.py\n"
    assert kernel.run("%alembic upgrade head").error == ""

    kernel.restart()
    seen = kernel.run("!psql -Atc 'SELECT count(city) FROM users'")
    assert seen.text == GOES_ON.format("0004_city") + "0\n"
    assert kernel.run("!psql -Atc 'SELECT 1'").text == "1\n", "it says so once"

    kernel.restart()
    overwritten = kernel.run("%%writefile migrations/versions/0004_city.py\nx = 1")
    assert overwritten.text == GOES_ON.format("0004_city") + "Overwriting migrations/versions/0004_city.py\n"
    assert (workspace.project("lesson_00") / "migrations/versions/0004_city.py").read_text() == "x = 1\n"


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("%sql SELECT current_database()", "lesson_00_"),
        ("%alembic current", "0003_orders (head)"),
        ("%check first_step", "Not attempted"),
        ("import os; print(os.environ['LAB_PLACE'])", "lesson_00"),
    ],
)
def test_any_cell_may_be_the_first(notebook, cell, found):
    said = notebook(FIRST)(cell).text
    assert said.startswith(STARTS) and found in said


@pytest.mark.parametrize("cell", ["%lesson 00 --reset", "%lesson 02", "%exercise first_step", "x = 1\n%lesson 00"])
def test_a_cell_that_opens_a_place_opens_no_other_before(notebook, cell):
    """A lesson's own first cell prints what is stored under it, and no line more."""
    printed = notebook(FIRST)(cell).text.splitlines()
    assert [line.split()[0] for line in printed] == ["Server", "Database", "Revision"]


@pytest.mark.parametrize(
    ("name", "lesson"),
    [
        ("/home/zoë/work/00_start_here.ipynb", FIRST),
        (r"C:\work\00_start_here.ipynb", FIRST),
        ("RTC:00_start_here.ipynb", FIRST),
        ("00_start_here-Copy1.ipynb", FIRST),
        ("00_start_here.newer.ipynb", FIRST),
        ("00_start_here-jvsc-4f2e.ipynb", FIRST),
        ("03_soft_delete_and_timestamps.ipynb", "03_soft_delete.ipynb"),  # its former name, which a changed copy keeps
        ("", None),
        ("analysis.ipynb", None),
        ("00_start.ipynb", None),
        ("00_start_here_again.ipynb", None),
        ("01_intro.ipynb", None),
    ],
)
def test_a_copy_of_a_lesson_is_that_lesson_and_nothing_else_is(notebook, name, lesson):
    notebook(name)
    assert lesson_notebook(get_ipython()) == lesson


def test_vs_code_names_the_notebook_inside_of_it(learner):
    """It asks the kernel questions of its own first, which are not stored; the lesson waits for a person's cell."""
    kernel = learner("")
    assert kernel.run("1").text == "1"
    assert kernel.run("__vsc_ipynb_file__ = '/work/00_start_here.ipynb'", store_history=False).text == ""
    assert kernel.run("dir()", store_history=False).printed == ""
    assert kernel.run("1").printed == STARTS


def test_a_notebook_of_something_else_is_left_alone(learner, workspace):
    """People use the environment for their own work too: nothing is opened, and nothing is imported that takes time."""
    kernel = learner("01_intro.ipynb")
    heavy = kernel.run("import sys\n{'alembic', 'psycopg', 'sqlalchemy', 'migration_lab.course'} & sys.modules.keys()")
    assert heavy.text == "set()"
    assert not list(workspace.path.glob("projects/*"))
    assert kernel.run("%sql SELECT 1").text == NOT_OPEN
    assert kernel.run("%lesson 00\n%sql SELECT 1 AS one").error == ""


def test_every_verb_is_there_without_load_ext(learner):
    """A verb that is not in the table of names is "not found" in each kernel that has opened no lesson yet."""
    kernel = learner("analysis.ipynb")
    assert kernel.run("%progress").printed.startswith("○ 00  Start here")
    registered = kernel.run(
        "lab = get_ipython().magics_manager.registry['LabMagics'].magics\nsorted({*lab['line'], *lab['cell']})"
    )
    assert registered.displayed[0]["text/plain"].replace("\n", "") == str(sorted(VERBS))


def test_an_old_copy_with_load_ext_stays_quiet(learner):
    """Copies that a learner has written in keep the line; it prints nothing, before and after the lesson is open."""
    kernel = learner(FIRST)
    opened = kernel.run("%load_ext migration_lab\n%lesson 00 --reset")
    assert [line.split()[0] for line in opened.printed.splitlines()] == ["Server", "Database", "Revision"]
    kernel.restart()
    assert kernel.run("%load_ext migration_lab").text == GOES_ON.format("0003_orders")
    counted = (
        "len([one for one in get_ipython().events.callbacks['pre_run_cell'] if 'migration_lab' in one.__module__])"
    )
    assert kernel.run(counted).text == "1"


def test_a_persons_own_extensions_are_loaded_too(learner, tmp_path):
    """A profile that names extensions would replace ours, or ours would replace them."""
    profile = tmp_path / "ipython" / "profile_default"
    profile.mkdir(parents=True)
    (profile / "ipython_config.py").write_text("c.InteractiveShellApp.extensions = ['autoreload']\n")
    kernel = learner("analysis.ipynb")
    loaded = kernel.run("'autoreload' in str(get_ipython().extension_manager.loaded)").text
    assert (loaded, kernel.run("%schema").text) == ("True", NOT_OPEN)


def test_ipython_in_a_terminal_has_the_verbs(workspace, tmp_path):
    command = [sys.executable, "-m", "IPython", "--colors=NoColor", "-c", "%lesson 00\n%sql SELECT count(*) FROM users"]
    settings = os.environ | {"IPYTHONDIR": str(tmp_path / "ipython")}
    ran = subprocess.run(command, env=settings, capture_output=True, encoding="utf-8", timeout=120)
    assert "Revision  0003_orders" in ran.stdout and "1000" in ran.stdout, ran


def test_the_settings_are_installed_with_the_package():
    """In .venv, where the package is an editable one, IPython has to find the very file that the clone has."""
    installed = Path(sys.prefix) / "etc" / "ipython" / "ipython_config.py"
    assert installed.read_bytes() == (ROOT / "etc" / "ipython" / "ipython_config.py").read_bytes()


def test_a_server_that_is_down_is_said_once_and_then_the_lesson_goes_on(learner, running):
    """Each cell tries again; the same words under each of them would hide what the cells say themselves."""
    url = running.url.render_as_string(hide_password=False)
    kernel = learner(FIRST, LAB_POSTGRES="postgresql://nobody@127.0.0.1:9/postgres")
    first = kernel.run("!echo hello")
    assert first.printed == (
        "Lesson 00 could not be opened. PostgreSQL at 127.0.0.1:9 refused the session: nothing listens there. "
        "Start that server, or correct the host and the port.\nhello\n"
    )
    assert "Traceback" not in first.text
    second = kernel.run("%sql SELECT 1")
    assert second.printed == ""
    assert second.error.startswith("Lesson 00 is not open, because it could not be opened before this cell.")
    back = kernel.run(f"import os; os.environ['LAB_POSTGRES'] = {url!r}")
    assert back.printed == ""
    assert kernel.run("%sql SELECT 1 AS one").printed == STARTS


# Names that are gone


def cells_of(lesson: str, text: str) -> list[Cell]:
    """The code cells of a lesson with this text in them."""
    return [cell for cell in code_cells(lessons()[lesson]) if text in cell.source]


def test_a_name_that_is_gone_leads_to_the_cell_that_sets_it(learner):
    """A restart opens the lesson, and can't bring back what earlier cells computed: "name 'path' is not defined"."""
    kernel = learner("01_anatomy.ipynb")
    setting, using = cells_of("01", "path = ")[:2]
    said = kernel.run(using.source, using.id)
    assert "NameError" in said.error
    sentence = "`path` comes from an earlier cell, and this kernel does not know it. Run that one first: "
    assert sentence + f"the cell that begins with `{setting.source.splitlines()[0]}`." in said.printed
    unknown = kernel.run("print(nowhere)")
    assert "NameError" in unknown.error and unknown.printed == ""


def test_a_name_in_braces_that_is_gone_is_found_too(learner):
    """IPython leaves {rule} as it is, and the server only says that there is a syntax error at a brace."""
    kernel = learner("03_soft_delete.ipynb")
    (setting,) = cells_of("03", "rule = ")
    said = kernel.run("%sql {rule}")
    assert "`rule` comes from an earlier cell" in said.printed
    assert f"begins with `{setting.source.splitlines()[0]}`" in said.printed
    assert "comes from an earlier cell" not in kernel.run("%sql SELECT '{vintage}'::text[]").printed


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("a = b = c = 1\nd: int = 3", {"a", "b", "c", "d"}),
        ("rows = %sql SELECT 1\n%alembic current", {"rows"}),
        ("import os, sqlalchemy as sa\nfrom pathlib import Path", {"os", "sa", "Path"}),
        ("def way(plan):\n    inside = plan\n    return inside", {"way"}),
        ("for n in [x for x in range(3)]:\n    last = n", {"n", "last"}),
        ("%%traffic users --app old\nseen = 1", {"seen"}),
        ("%%writefile x.py\nseen = 1", set()),
        ("not Python", set()),
    ],
)
def test_what_a_cell_leaves_in_the_notebook(source, names):
    assert assigned(source) == names
