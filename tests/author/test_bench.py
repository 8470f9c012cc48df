"""scripts/bench.py: what it prints is believed, so it must judge by what it has measured, and lose nothing of it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import conftest
import pytest

from migration_lab.author import bench
from migration_lab.author.bench import page, setup, tests
from migration_lab.paths import NOTEBOOKS, ROOT
from migration_xray.errors import UserError


def measurement(ours, bare=None, goal=None, allowance=0.0) -> bench.Measurement:
    """A measurement whose rounds take these seconds."""

    @contextmanager
    def prepare():
        yield [iter(seconds).__next__ for seconds in (ours, bare) if seconds]

    return bench.Measurement("ours", "bare" if bare else None, goal, prepare, len(ours), allowance)


@pytest.mark.parametrize(
    ("one", "met"),
    [
        (measurement([1.1, 9, 1.1], [1, 1, 1], goal=1.15), True),  # one bad round is the machine's
        (measurement([1.2, 0.5, 1.2], [1, 1, 1], goal=1.15), False),  # one good one too
        (measurement([2, 2, 20], [2, 2, 19], goal=1.15), True),  # a slow round is slow for both
        (measurement([0.22], [0.1], goal=1.3, allowance=0.1), True),
        (measurement([0.24], [0.1], goal=1.3, allowance=0.1), False),
        (measurement([0.9, 1.4, 0.8], goal=1), True),
        (measurement([0.9, 1.4, 1.3], goal=1), False),
        (measurement([0.9]), None),
    ],
)
def test_a_goal_is_judged_by_the_median_round(one, met):
    assert one.run(one.rounds, lambda words: None)["met"] is met


def test_a_run_ends_in_a_table_and_a_file(tmp_path, capsys):
    """Both kinds of measurement for real: one beside its bare form, and one with nothing to compare with."""
    file = tmp_path / "new" / "bench.json"
    assert bench.main(["later", "alembic", "--rounds", "1", "--json", str(file)]) == 0
    results = json.loads(file.read_text(encoding="utf-8"))
    assert set(results) == {"machine", "measurements"}
    later, alembic = results["measurements"].values()
    assert later["bare"] is later["ratios"] is later["goal"] is later["met"] is None
    (ours,), (bare,), (ratio,) = alembic["ours"]["seconds"], alembic["bare"]["seconds"], alembic["ratios"]
    assert ratio == pytest.approx(ours / bare, rel=0.05)
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["later", "alembic"]
    assert "alembic: %alembic upgrade head, beside alembic upgrade head" in lines
    assert "alembic: round 1 of 1" in printed.err.splitlines(), "minutes of silence look like a hang"


def test_what_was_measured_is_told_although_something_failed(monkeypatch, capsys):
    """Ten minutes of measuring were lost to the last measurement's fault."""

    @contextmanager
    def broken():
        raise UserError("JupyterLab did not answer.")
        yield

    ours = {"good": measurement([0.5]), "bad": bench.Measurement("ours", None, None, broken, 1)}
    monkeypatch.setattr(bench, "MEASUREMENTS", ours)
    assert bench.main([]) == 1
    printed = capsys.readouterr()
    assert "500 ms" in printed.out
    assert "bad: could not be measured: JupyterLab did not answer." in printed.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["opening"], 'there is no measurement "opening"; the names are setup, start, '),
        (["open", "--rounds", "0"], "--rounds 0 measures nothing; give 1 or more"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_words(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as end:
        bench.main(arguments)
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err


def test_the_test_command_is_run_and_its_failure_is_told():
    """A failed test ends a run early, and a short time would look like a good one."""
    with tests.command("tests/test_rooms.py", "-n", "0", "-k", "side_entrance_is_seen") as (ours,):
        assert ours() > 0
    with (
        tests.command("tests/test_rooms.py", "-n", "0", "-k", "nothing_is_named_so") as (ours,),
        pytest.raises(UserError) as told,
    ):
        ours()
    assert "exit status 5" in str(told.value)
    assert "deselected" in str(told.value), "pytest's last words say what is wrong"


def test_the_parts_of_the_test_command_are_told_one_by_one(monkeypatch, tmp_path):
    """Each part is run once, all with as many workers as the whole command has, and no test is in two parts."""
    ran = []
    monkeypatch.setattr(tests, "run", lambda words, folder: ran.append([str(word) for word in words[1:]]))
    names = ["tests_engine", "tests_answers", "tests_lessons", "tests"]
    file = tmp_path / "bench.json"
    assert bench.main([*names, "--json", str(file)]) == 0
    assert list(json.loads(file.read_text(encoding="utf-8"))["measurements"]) == names
    command = str(ROOT / "scripts" / "test.py")
    assert ran == [
        [command, "tests", f"--ignore={conftest.ANSWERS}"],
        [command, conftest.ANSWERS],
        [command, "notebooks", "-m", "not again"],
        [command],
    ]
    assert (ROOT / conftest.ANSWERS).is_file(), "pytest ignores what is not there without a word"


def test_the_notebooks_are_the_same_for_both(monkeypatch):
    ran = []
    monkeypatch.setattr(tests, "run", lambda words, folder: ran.append([Path(word) for word in words[1:]]))
    assert bench.main(["notebooks", "--rounds", "1"]) == 0
    (command, folder, *_), (execute, *executed) = ran
    assert command == ROOT / "scripts" / "test.py"
    assert execute == Path("execute")
    assert ROOT / folder == NOTEBOOKS
    assert executed == sorted(NOTEBOOKS.glob("*.ipynb"))


def test_a_fresh_clone_has_what_git_has_and_nothing_of_this_one(tmp_path):
    """With .venv or work/ in it, the first start would be a second one."""
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("needs a clone made by git")
    clone = setup._fresh_clone(tmp_path)
    (clone / "left.txt").touch()
    clone = setup._fresh_clone(tmp_path)
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, encoding="utf-8"
    ).stdout
    tracked = {name for name in listed.split("\0") if name and (ROOT / name).is_file()}
    assert {file.relative_to(clone).as_posix() for file in clone.rglob("*") if file.is_file()} == tracked
    assert (clone / "scripts" / "lab.py").read_bytes() == (ROOT / "scripts" / "lab.py").read_bytes()


def test_a_start_that_ends_before_it_answers_is_told_with_its_words(tmp_path):
    """Waiting fifteen minutes for a set-up that failed in a second, or a failure without its reason."""
    code = "import sys; sys.exit('No package index answers.')"
    with pytest.raises(UserError) as told:
        page.until_it_answers([sys.executable, "-c", code], tmp_path)
    assert "before it ended (exit status 1)" in str(told.value)
    assert "No package index answers." in str(told.value)
