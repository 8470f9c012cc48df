"""`lab author check`: an author reads what an exercise lacks, one thing after the other, and nothing that it has."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path

import pytest

from migration_lab.author import examination
from migration_lab.author.examination import Report, examine
from migration_lab.author.mutants import mutants
from migration_lab.cli import main
from migration_lab.course import find_exercise, manifest
from migration_lab.learner import Grade, Outcome
from migration_xray.errors import UserError

LESSON = """
[[lesson]]
number = "00"
name = "small"
title = "Small"
minutes = 5
objectives = []
start = "small"
exercises = ["first_step"]
"""
FILE = "migrations/versions/0004_city.py"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A course with one exercise, which is whole: first_step with three wrong answers and two mutants."""
    folder = tmp_path / "exercises" / "first_step"
    shutil.copytree(find_exercise("first_step").folder, folder)
    told = (folder / "exercise.toml").read_text(encoding="utf-8")
    for name in ("another_table", "any_length", "not_null"):
        shutil.rmtree(folder / "wrong" / name)
        told = re.sub(rf"^{name} = .*\n", "", told, flags=re.MULTILINE)
    (folder / "exercise.toml").write_text(told, encoding="utf-8")
    monkeypatch.setattr(examination, "mutants", lambda exercise: mutants(exercise)[:3:2])
    (tmp_path / "lessons.toml").write_text(LESSON, encoding="utf-8")
    starter = (folder / "starter" / FILE).read_text(encoding="utf-8")
    cells = [f"%%answer first_step {FILE}\n{starter}", "%check first_step"]
    notebook = {"cells": [{"cell_type": "code", "source": [cell]} for cell in cells]}
    (tmp_path / "00_small.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    for module in (examination, manifest):
        monkeypatch.setattr(module, "NOTEBOOKS", tmp_path)
    return folder


def change(file: Path, old: str, new: str = "") -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def missing() -> list[str]:
    return [finding.sentence for finding in examination.written("first_step") if not finding.fine]


def test_a_whole_exercise_lacks_nothing(folder, running, capsys):
    steps = []
    report = examine("first_step", lambda: running, steps.append)
    assert report.status == 0, str(report)
    assert "Missing" not in str(report)
    assert steps[0] == "first_step: 8 answers" and steps[-1].endswith("mutants"), "it takes a while: say what it does"
    assert {finding.about for finding in report.findings} >= {"starter", "solution", "right", "wrong", "mutants"}


@pytest.mark.parametrize(
    ("lose", "sentence"),
    [
        (lambda at: shutil.rmtree(at / "right" / "plain_sql"), "right/ has 1 folders, and at least 2 are needed"),
        (
            lambda at: shutil.rmtree(at / "right" / "plain_sql"),
            "[right] in exercise.toml names plain_sql, and there is no",
        ),
        (lambda at: shutil.rmtree(at / "wrong"), "wrong/ has 0 folders, and at least 3 are needed"),
        (lambda at: (at / "wrong" / "new").mkdir(), "[wrong] in exercise.toml has no line for wrong/new"),
        (lambda at: change(at / "exercise.toml", "?"), "The first hint does not ask"),
        (lambda at: change(at / "exercise.toml", "hints = [", "hints = ['Why?']\nold = ["), "at least two hints"),
        (
            lambda at: change(at / "exercise.toml", "hints =", "hint ="),
            "a key hint, which nothing reads. The nearest is hints.",
        ),
        (lambda at: change(at / "exercise.toml", "explanation = '''", "explanation = 'No.'\nold = '''"), "has 1 words"),
        (lambda at: (at / "check.py").write_bytes(b"caf\xe9"), "check.py can't be read"),
        (lambda at: (at / "solution" / FILE).write_text("def upgrade("), f"solution/{FILE} can't be read"),
        (lambda at: change(at / "starter" / FILE, "TODO", "town"), "No file of the starter has a TODO"),
        (
            lambda at: change(at.parents[1] / "lessons.toml", '"first_step"'),
            "No lesson has first_step in its `exercises`",
        ),
        (lambda at: change(at.parents[1] / "00_small.ipynb", "%check"), "no cell that begins with `%check first_step`"),
        (lambda at: change(at.parents[1] / "00_small.ipynb", "%answer"), f"begins with `%%answer first_step {FILE}`"),
        (lambda at: (at.parents[1] / "00_small.ipynb").unlink(), "The notebook 00_small.ipynb is not there"),
    ],
)
def test_what_is_missing_is_said_without_a_grading(folder, lose, sentence):
    assert missing() == [], "the course of this test has something missing already"
    lose(folder)
    assert [one for one in missing() if sentence in one], missing()


def test_a_check_that_takes_everything_is_seen(folder, running):
    """Such a check passes the starter, the wrong answers and the mutants: it must not look like a good one."""
    (folder / "check.py").write_text("def check(db):\n    pass\n", encoding="utf-8")
    report = examine("first_step", lambda: running, lambda step: None)
    said = str(report).partition(" Missing\n")[2]
    assert report.status == 1
    assert "The starter passes as it is." in said
    assert "wrong/another_name is not refused" in said
    assert "This mutant passes; refuse it in check.py, or say in [equivalent] why it is right: 0004_city.py" in said


def test_answers_that_are_judged_otherwise_than_they_should_be(folder, running):
    change(folder / "solution" / FILE, '"city"', '"town"')
    change(folder / "right" / "plain_sql" / FILE, "varchar(50)", "varchar(49)")
    change(folder / "exercise.toml", "so nobody can leave it out", "a piece that no message has")
    change(folder / "exercise.toml", "does not lead back to the start", "a new column town")
    report = examine("first_step", lambda: running, lambda step: None)
    said = str(report).partition(" Missing\n")[2]
    assert "solution does not pass: ✘ Not yet: users has a new column town" in said
    assert "right/plain_sql does not pass: ✘ Not yet: users.city is character varying(49)" in said
    assert "wrong/empty_instead is refused, but not with the text that [wrong] has for it" in said
    assert "wrong/another_name gets the message of no_way_back too" in said
    assert "The solution's mutants were not tried, since it does not pass." in said


def test_declared_mutants_are_held_to_their_word(folder, running):
    """A declaration outlives the mutant, or the hole that it was made for."""
    name = "0004_city.py upgrade: without op.add_column('users', …)"
    change(folder / "exercise.toml", "# What the message", f'[equivalent]\n"{name}" = "?"\n"gone" = "?"\n\n#')
    exercise = manifest.read_exercise("first_step", {"number": "00", "start": "small"})
    found = examination._of_mutants(exercise, lambda: running, lambda step: None)
    said = "\n".join(finding.sentence for finding in found if not finding.fine)
    assert f"[equivalent] declares this mutant, and it is refused: {name}." in said
    assert "[equivalent] declares a mutant that is not made any more: gone" in said


def test_a_server_that_is_not_there_is_not_the_exercises_fault(folder):
    def refuse():
        raise UserError("No server.")

    report = examine("first_step", refuse, lambda step: None)
    assert report.status == 2
    assert "? solution could not be graded: No server." in str(report)
    assert report.to_dict()["missing"] == ["The solution's mutants were not tried, since it does not pass."]


@pytest.mark.parametrize(
    ("lose", "sentence"),
    [
        (lambda at: (at / "check.py").unlink(), "There is no check.py, so no answer was graded."),
        (lambda at: shutil.rmtree(at / "solution"), "There is no solution, so no answer was graded."),
        (lambda at: (at / "exercise.toml").write_text("title"), "exercise.toml can't be read"),
        (lambda at: change(at / "exercise.toml", "title =", "titel ="), "exercise.toml has no title."),
    ],
)
def test_an_exercise_that_has_only_been_begun(folder, lose, sentence):
    """An author runs the check first of all, to read what to write."""
    lose(folder)
    report = examine("first_step", lambda: pytest.fail("nothing is there to grade"), lambda step: None)
    assert report.status == 1 and sentence in str(report)


def test_a_report_counts_what_could_not_be_seen():
    report = Report("x", [examination.Finding("right", False, "a"), examination.Finding("mutants", None, "b")])
    assert report.status == 2
    assert report.to_dict() == {"exercise": "x", "fine": [], "missing": ["a"], "unknown": ["b"]}


def test_in_a_terminal(folder, workspace, capsys):
    """The findings go to stdout and the steps to stderr, so that a script reads one JSON object a line."""
    (folder / "check.py").unlink()
    assert main(["author", "check", "first_step", "--json"]) == 1
    out, _ = capsys.readouterr()
    assert json.loads(out)["missing"] == ["There is no check.py, so no answer was graded."]
    assert main(["author", "check", "first_step"]) == 1
    assert capsys.readouterr().out.endswith("  ✘ There is no check.py, so no answer was graded.\n")


def test_a_name_that_is_not_there(capsys):
    assert main(["author", "check", "frist_step"]) == 1
    assert 'There is no exercise "frist_step". The nearest is first_step.' in capsys.readouterr().err


def test_the_table_of_keys_is_what_the_manual_has():
    """A key that is documented and called unknown, or the other way round, sends an author to look for a slip."""
    manual = (Path(__file__).parents[2] / "docs" / "authoring.md").read_text(encoding="utf-8")
    assert [key for key in examination.KEYS if f"| `{key}` |" not in manual] == []
    assert [key for key in examination.TABLES if f"| `[{key}]` |" not in manual] == []


def test_every_key_of_the_course_is_known():
    told = [tomllib.loads(file.read_text("utf-8")) for file in manifest.NOTEBOOKS.glob("exercises/*/exercise.toml")]
    assert {key for one in told for key in one} <= examination.KEYS | examination.TABLES


def test_recognised_is_by_the_text_in_the_table():
    exercise = find_exercise("first_step")
    grade = Grade(exercise, Outcome.NOT_YET, "users has a new column town, but none called city.")
    assert examination.recognised(exercise, grade.message) == ["another_name"]
