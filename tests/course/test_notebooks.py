"""Whether the lessons are what lessons are, and teach all of the template.

(That every stored output is true is nbval's part: it runs each notebook cell by cell, and once more, see secondrun.py.)
"""

from __future__ import annotations

import re
from collections import Counter

import nbformat
import pytest
from tests.course import template
from tests.secondrun import is_answer, named_file

from migration_lab.author.refresh import main, normalised, sanitizer
from migration_lab.course.manifest import Lesson, exercises, lessons
from migration_lab.course.prediction import predictions
from migration_lab.paths import NOTEBOOKS

LESSONS = list(lessons().values())


def read(lesson: Lesson) -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS / lesson.notebook, as_version=4)


def code(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def text(output) -> str:
    return output.get("text") or output.get("data", {}).get("text/plain") or output.get("evalue", "")


by_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.notebook)


def test_no_section_of_the_template_is_left_out():
    claimed = Counter(part for lesson in LESSONS for part in lesson.template)
    assert claimed == Counter([*template.CREATES, *template.SAID])


def test_no_name_of_the_templates_table_is_left_out(running):
    """The course is about this table: every column, index, key and constraint of it belongs to some section.

    (That a lesson's cells make what it claims is tested beside its second run, see secondrun.py.)
    """
    told = {name for part in template.CREATES.values() for name in part}
    assert told == template.names(template.built(running)) | template.COMMENTED_OUT


@by_lesson
def test_a_lesson_is_as_the_manifest_says(lesson):
    """The manifest makes the map, the progress page and the workshop's timetable; it must not promise something else."""
    notebook = read(lesson)
    first = notebook.cells[0].source
    assert first.startswith(f"# {lesson.number} · {lesson.title}\n")
    assert re.search(rf"^\*{lesson.minutes} minutes\.", first, re.M)
    assert re.findall(r"^- (.+)$", first, re.M) == list(lesson.objectives)
    missing = [part for part in lesson.template if part.split(": ")[-1].lower() not in first.lower()]
    assert not missing, "the first cell names the template's parts that the lesson walks through"
    opening = code(notebook)[0].source
    assert opening == f"%lesson {lesson.number} --reset"
    checked = [cell.source.split()[1] for cell in code(notebook) if cell.source.startswith("%check")]
    assert checked == [exercise.id for exercise in lesson.exercises]


@by_lesson
def test_a_lesson_has_the_shape_of_a_lesson(lesson):
    """A prediction for what is worth predicting, keypoints to take along, and a way on.

    How many cells a lesson has, and how long they are, its ideas decide.
    """
    notebook = read(lesson)
    said = prose(notebook)
    asked = sum(cell.source.startswith("%predict ") for cell in code(notebook))
    assert said.count("**Predict.**") == asked >= 2, "each question has its %predict, and each %predict its question"
    assert "Think first" not in said, "an explanation comes with %predict, after the cell that answers"
    keypoints = re.search(r"## Keypoints\n\n((?:- .+\n)+)", notebook.cells[-1].source)
    assert 3 <= len(keypoints[1].splitlines()) <= 6
    assert "**Next:**" in notebook.cells[-1].source
    following = [later for later in lessons().values() if later.number > lesson.number][:1]
    for later in following:
        assert f"**Next:** [{later.number} · {later.title}]({later.notebook})" in notebook.cells[-1].source
    assert (NOTEBOOKS / lesson.notebook).stat().st_size < 400_000


@by_lesson
def test_a_lessons_pictures_say_what_they_show(lesson):
    for alternative, picture in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", prose(read(lesson))):
        assert len(alternative.split()) > 5, f"{picture} says nothing to those who can't see it"


@by_lesson
def test_numbers_that_the_prose_states_stand_in_an_output_or_a_cell(lesson):
    """Nothing is claimed that the learner's own server does not show."""
    notebook = read(lesson)
    shown = "\n".join(cell.source for cell in code(notebook))
    # An explanation that comes with a prediction's answer is prose too, though it is stored as an output.
    outputs = [output for cell in code(notebook) for output in cell.outputs]
    shown += "\n".join(text(output) for output in outputs if "text/markdown" not in output.get("data", {}))
    shown += "\n".join(
        path.read_text(encoding="utf-8") for exercise in lesson.exercises for path in exercise.folder.glob("*.*")
    )
    body = "\n\n".join(cell.source for cell in notebook.cells[1:] if cell.cell_type == "markdown")
    body += "\n\n".join(one.why for one in predictions().values() if one.lesson == lesson.number)
    claimed = set(re.findall(r"(?<![\w.])\d{3,}(?:\.\d+)?(?![\w.])", body))
    assert {number for number in claimed if number not in shown} == set()


def test_a_look_at_a_view_of_the_whole_server_is_filtered_by_database():
    """On a server that a class shares, such a view shows everybody's sessions: a learner saw a neighbour's index build."""
    server_wide = re.compile(r"\b(pg_stat_activity|pg_locks|pg_stat_progress_\w+)\b")
    looks = [cell.source for lesson in LESSONS for cell in code(read(lesson))]
    looks += [
        line for check in NOTEBOOKS.glob("exercises/*/check.py") for line in check.read_text("utf-8").splitlines()
    ]
    found = [look for look in looks if server_wide.search(look)]
    assert found, "no look is left: this test shows nothing"
    assert [look for look in found if "current_database()" not in look] == []


@by_lesson
def test_answer_cells_hold_the_starters(lesson):
    """The cell is where a learner begins; grading calls it "not attempted" only while it is the starter."""
    cells = list(filter(is_answer, read(lesson).cells))
    for cell in cells:
        exercise, path = named_file(cell)
        starter = (exercise.folder / "starter" / path).read_text(encoding="utf-8")
        assert cell.source.split("\n", 1)[1].strip() == starter.strip(), cell.source
        assert (exercise.folder / "solution" / path).exists()
    assert {named_file(cell)[0] for cell in cells} == set(lesson.exercises)


@by_lesson
def test_a_notebook_is_stored_as_refresh_stores_it(lesson):
    """Outputs of an older run, a stray error or one machine's metadata would be a lie, and a diff at every refresh."""
    path = NOTEBOOKS / lesson.notebook
    notebook = read(lesson)
    assert normalised(read(lesson)) == path.read_text(encoding="utf-8"), "run scripts/refresh.py"
    for cell in code(notebook):
        failed = [output for output in cell.outputs if output.output_type == "error"]
        assert bool(failed) == ("raises-exception" in cell.metadata.get("tags", ())), cell.source
    identifiers = Counter(cell.id for cell in notebook.cells)
    assert max(identifiers.values()) == 1


def test_refreshing_twice_changes_nothing(tmp_path, capsys):
    """A refresh that stored clocks and versions anew made a diff each time, in which no one saw the lesson that changed."""
    notebook = tmp_path / LESSONS[0].notebook
    notebook.write_text(
        (NOTEBOOKS / notebook.name)
        .read_text(encoding="utf-8")
        .replace("Revision  0003_orders", "Revision  0003_older"),
        encoding="utf-8",
    )
    assert main([str(notebook)]) == 0 == main([str(notebook)])
    assert capsys.readouterr().out.splitlines() == [f"{notebook.name}: changed", f"{notebook.name}: unchanged"]


def test_a_cell_that_fails_ends_a_refresh_and_stores_nothing(tmp_path, capsys):
    notebook = tmp_path / LESSONS[0].notebook
    text = (
        (NOTEBOOKS / notebook.name)
        .read_text(encoding="utf-8")
        .replace("FROM users ORDER BY id", "FROM usres ORDER BY id")
    )
    notebook.write_text(text.replace('"%schema"', '"%schemata"', 1), encoding="utf-8")
    before = notebook.read_bytes()
    assert main([str(notebook)]) == 1
    assert "schemata" in capsys.readouterr().err
    assert notebook.read_bytes() == before


def test_every_notebook_is_a_lesson_of_the_manifest():
    assert sorted(path.name for path in NOTEBOOKS.glob("*.ipynb")) == [lesson.notebook for lesson in LESSONS]


def test_the_sanitizer_is_narrow():
    """A rule that ate more than its due would hide a lesson that has become untrue."""
    sanitize = sanitizer()
    kept = [
        "Revision  0003_orders", "Database  lesson_02", "[(1000, 0)]", "2147483647",
        "DETAIL:  A field with precision 10, scale 2", "backups/lesson_00", "PostgreSQL said: no", "SELECT 20260112",
    ]  # fmt: skip
    assert [sanitize(line) for line in kept] == kept
    assert sanitize("PostgreSQL 18.6, embedded") == sanitize("PostgreSQL 15.18, url")
    assert sanitize("lesson_02_0a1b2c") == "lesson_02"


def test_every_exercise_belongs_to_one_lesson():
    owners = Counter(exercise.id for lesson in LESSONS for exercise in lesson.exercises)
    assert set(owners) == set(exercises()) and max(owners.values()) == 1
