"""What cells have measured is known again after a restart, with the database in which it was measured.

The late cells of lessons 12 to 16 compare what cells far above measured, and those can't run again: their migration has run.
"""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from IPython import get_ipython
from tests.notebook.learner import Learner

from migration_lab.course import find_cell, lessons
from migration_lab.notebook import measured
from migration_xray import traffic, watch
from migration_xray.traffic import Felt

NOTEBOOK = "05_indexes.ipynb"  # its cells set before, after, plan, sizes and way
ADDS = """%%writefile migrations/versions/0004_more.py
from alembic import op

revision, down_revision = "0004_more", "0003_orders"


def upgrade():
    op.execute("ALTER TABLE users ADD COLUMN more integer")
"""
KNOWN = "Lesson 05 goes on where you left it: revision {}.\nWhat your cells measured is known again: {}.\n"


@pytest.fixture
def fresh(shell, monkeypatch):
    """``fresh()``: the shell as a new kernel of lesson 05 has it. The first one is fresh already."""
    monkeypatch.setenv("JPY_SESSION_NAME", NOTEBOOK)

    def restart():
        ipython = get_ipython()
        ipython.user_ns.clear()
        ipython.init_user_ns()
        ipython.magics_manager.registry["LabMagics"]._leave()
        ipython.magics_manager.registry["LabMagics"].measured.known_last.clear()
        monkeypatch.setattr(traffic.traffic, "_last", None)
        monkeypatch.setattr(watch.events, "_last", None)
        return shell

    restart()
    return restart


def said(cell) -> str:
    assert cell.error is None, cell.error
    return cell.text


def files(workspace) -> dict[str, Path]:
    return {path.name: path for path in workspace.state.glob("measured/*/*/*.json")}


def test_a_late_cell_compares_what_early_ones_measured(workspace, tmp_path, monkeypatch):
    """With real kernels: what traffic felt, what x-ray saw and what a query gave, to the last figure."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    compares = "from migration_lab import compare, last_trace, last_traffic\n"
    compares += "print(compare({'one': before, 'two': last_traffic()}, rows_wrong=[len(after), after[0].count]))\n"
    compares += "print(after); print(plan.to_dict() == last_trace().to_dict(), plan.statements[0].sql)"
    kernel = Learner(NOTEBOOK)
    try:
        assert kernel.run(ADDS).error == ""
        assert kernel.run("%%traffic users\n%xray upgrade head").error == ""
        measures = "from migration_lab import last_trace, last_traffic\nbefore, plan = last_traffic(), last_trace()\n"
        assert kernel.run(measures + "after = %sql SELECT count(*), NULL AS nothing FROM users").error == ""
        there = kernel.run(compares)
        kernel.restart()
        here = kernel.run(compares)
    finally:
        kernel.end()
    assert there.error == here.error == ""
    assert here.printed == KNOWN.format("0004_more", "after, before, plan") + there.printed
    assert "strongest lock | AccessExclusiveLock on users" in there.printed and "True ALTER TABLE" in there.printed
    assert sum(path.stat().st_size for path in files(workspace).values()) < 400_000, "small files"


@pytest.mark.parametrize(
    "value",
    [
        "'text'",
        "12",
        "1.5",
        "True",
        "[1, [2.5, None]]",
        "{'a': [1], 'b': {}}",
        "__import__('pathlib').Path('app/old.sql')",
    ],
)
def test_plain_values_and_paths_are_known_again(fresh, value):
    said(fresh()(f"sizes = {value}"))
    assert fresh()("sizes").value == eval(value)


@pytest.mark.parametrize(
    "value",
    ["(1, 2)", "{1: 2}", "object()", "lambda: 1", "[sizes := []] and sizes.append(sizes) or sizes", "10 ** 5000"],
)
def test_whatever_json_would_change_is_not_kept(fresh, value):
    """A value that came back as something else would be worse than a name that is gone."""
    said(fresh()("sizes = 'earlier'"))
    said(fresh()(f"sizes = {value}"))
    answer = fresh()("sizes")
    assert isinstance(answer.error, NameError)
    assert "`sizes` comes from an earlier cell" in answer.text


def test_rows_that_json_can_not_hold_are_not_kept(fresh):
    assert fresh()("after = %sql SELECT avg(id) FROM users\nafter[0][0]").value == Decimal("500.5")
    assert isinstance(fresh()("after").error, NameError)


def test_a_new_run_of_a_cell_replaces_what_it_measured(fresh):
    for count in (1, 2):
        said(fresh()(f"after = %sql SELECT {count} AS count"))
        assert fresh()("after[0].count").value == count


def test_a_name_of_the_learners_own_is_not_kept(fresh, workspace):
    """It may mean anything, and a lesson never asks for it."""
    said(fresh()("mine = 1\n_ = 2"))
    assert files(workspace) == {}


def test_a_reset_forgets_and_the_way_back_knows_again(fresh, workspace):
    """A figure belongs to its database. Beside another one it would be a lie."""
    said(fresh()("after = %sql SELECT 'first' AS count"))
    said(fresh()("%sql CREATE TABLE mine ()"))
    assert "known again" not in said(fresh()("%lesson 05 --reset"))
    assert isinstance(fresh()("after").error, NameError)
    said(fresh()("after = %sql SELECT 'second' AS count"))

    assert said(fresh()("%lesson 05 --back")).endswith("What your cells measured is known again: after.")
    assert fresh()("after[0].count").value == "first"
    said(fresh()("%lesson 05 --back"))
    assert fresh()("after[0].count").value == "second"
    assert len(list(workspace.state.glob("measured/*/*"))) == 2


def test_figures_go_when_their_database_is_gone(fresh, workspace):
    for _ in range(3):
        said(fresh()("after = %sql SELECT 1 AS count\n%sql CREATE TABLE mine ()"))
        said(fresh()("%lesson 05 --reset"))
    assert len(list(workspace.state.glob("measured/*/*"))) == 1, "the former database's"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1}', '{"version": 1, "kind": "traffic", "value": {}}'])
def test_a_damaged_file_is_passed_over(fresh, workspace, content):
    """The lesson goes on as if nothing were kept: the lab names the cell to run."""
    said(fresh()("after = %sql SELECT 1 AS count\nsizes = 5"))
    files(workspace)["after.json"].write_text(content)
    answer = fresh()("print(sizes)\nafter")
    assert isinstance(answer.error, NameError)
    assert answer.text.startswith("Lesson 05 goes on where you left it: revision 0003_orders.\n5\n")
    assert "`after` comes from an earlier cell" in answer.text


def test_a_file_of_another_version_is_passed_over(fresh, workspace):
    said(fresh()("sizes = 5"))
    file = files(workspace)["sizes.json"]
    file.write_text(json.dumps(json.loads(file.read_text()) | {"version": measured.VERSION + 1}))
    assert isinstance(fresh()("sizes").error, NameError)


def test_another_lessons_figures_are_never_seen(fresh, workspace):
    """Lessons use the same names for the same kind of thing."""
    said(fresh()("before = %sql SELECT 5 AS lesson"))
    assert "known again" not in said(fresh()("%lesson 04"))
    assert isinstance(get_ipython().run_cell("before").error_in_exec, NameError)
    said(fresh()("%lesson 04\nbefore = %sql SELECT 4 AS lesson"))
    assert fresh()("before[0].lesson").value == 5


def test_what_the_lesson_imports_is_there_again(fresh, monkeypatch):
    """The cell with the import may be one with a migration, which can't run again."""
    monkeypatch.setenv("JPY_SESSION_NAME", "07_constraints.ipynb")
    assert isinstance(fresh()("Path").error, NameError), "a lesson at its start has imported nothing"
    assert fresh()("Path").value is Path


def test_what_takes_time_to_import_is_not_imported_again(fresh, monkeypatch):
    said(fresh()("1"))
    monkeypatch.delitem(sys.modules, "pandas", raising=False)
    assert isinstance(fresh()("pandas").error, NameError)


def test_a_reset_in_the_middle_of_a_lesson_keeps_what_the_lesson_measured_before(fresh, monkeypatch):
    """Lesson 14 resets in its middle, and compares both halves at its end. A reset at its top forgets both."""
    monkeypatch.setenv("JPY_SESSION_NAME", "14_data_migration.ipynb")
    middle = next(cell for cell in measured.code_cells(lessons()["14"]) if "old = Path" in cell.source)
    shell = fresh()
    shell("%%writefile app/old.sql\nSELECT status = 'complete'")
    said(shell("wrong = %sql SELECT 7 AS count"))
    # After a restart, the cell that resets goes on with the lesson first: it reads a file of it.
    assert "goes on where you left it" in said(fresh()(middle.source))
    assert find_cell(lessons()["14"], None, middle.source) == middle
    assert fresh()("wrong[0].count").value == 7
    said(fresh()("%lesson 14 --reset"))
    assert isinstance(fresh()("wrong").error, NameError)


def test_sessions_that_ended_with_the_kernel_are_named(fresh):
    """Lesson 10 shows a queue of three sessions. After a restart there was none, and the explanation spoke of it."""
    shell = fresh()
    said(shell("%session report BEGIN\n%session report LOCK TABLE users"))
    said(shell("%session quiet SELECT 1"))
    said(shell("%session migration --no-wait ALTER TABLE users ADD COLUMN more int"))
    ended = (
        "The sessions report and migration ended with the kernel, and what was not committed is gone. If you still need them, "
        "go on at the cell that begins with `%session report BEGIN`."
    )
    assert said(fresh()("1")).splitlines()[1] == ended
    assert "ended" not in said(fresh()("1")), "it is said once"


def test_run_all_keeps_what_was_there_before_though_the_lesson_resets_twice(shell, monkeypatch):
    """Lessons 14 and 18 reset in their middle too: the second reset dropped the database from before Run All."""
    monkeypatch.setenv("JPY_SESSION_NAME", "14_data_migration.ipynb")
    first, *later = measured.code_cells(lessons()["14"])
    middle = next(cell for cell in later if "old = Path" in cell.source)
    app = "%%writefile app/old.sql\nSELECT status = 'complete'"

    def run_all() -> str:
        said(shell(first.source))
        said(shell(app))
        return said(shell(middle.source))

    assert "from before the reset (in a terminal: `lab back 14`)" in run_all(), "nothing was there before the first run"
    said(shell("%sql CREATE TABLE mine ()"))
    assert "from before the lesson's first cell reset it (in a terminal: `lab back 14`)" in run_all()
    said(shell("%lesson 14 --back"))
    assert shell("%sql SELECT count(*) FROM mine").value == [(0,)]
    said(shell("%lesson 14 --back"))

    said(shell("%sql CREATE TABLE after_the_middle ()"))
    said(shell(app))
    said(shell(middle.source))
    said(shell("%lesson 14 --back"))
    assert shell("%sql SELECT count(*) FROM after_the_middle").value == [(0,)], (
        "a reset of its own keeps what it replaces"
    )


def test_what_was_felt_survives_a_journey_through_json(users_felt):
    assert Felt.from_dict(json.loads(json.dumps(users_felt.to_dict()))) == users_felt


@pytest.fixture
def users_felt() -> Felt:
    from migration_xray.trace import Failure, Statement, Trace, Transaction
    from migration_xray.traffic.felt import Band, Sample

    sessions = {"traffic reader 1": ("read", None), "traffic old writer 1": ("write", "old")}
    samples = [
        Sample(0.02, "traffic reader 1", "read", None, 0.3, None, None),
        Sample(0.04, "traffic old writer 1", "write", "old", 9.5, "42703", "column does not exist", False),
    ]
    statement = Statement("SELECT 1", 0.1, error=Failure("40001", "again"))
    trace = Trace("upgrade head", 0.0, transactions=[Transaction(0.1, "shop", statements=[statement])])
    bands = [Band(0.1, 2.5, "SELECT 1", 0.2, failed=True)]
    return Felt("users", sessions, 50, 2.0, samples, bands, (trace,), ("traffic old writer 1",), "the disk is full")
