"""Whether the lessons are what lessons are, and teach all of the template.

(That every stored output is true is nbval's part: it runs each notebook cell by cell, and once more, see secondrun.py.)
"""

from __future__ import annotations

import json
import re
from collections import Counter

import nbformat
import pytest
from conftest import drop_databases
from tests.course import template
from tests.secondrun import is_answer, named_file

from migration_lab.author.refresh import execute, main, normalised, sanitizer
from migration_lab.course.manifest import Lesson, exercises, lessons
from migration_lab.paths import NOTEBOOKS
from migration_lab.pictures import Schema, Table, diff, snapshot
from migration_lab.workspace import Workspace

LESSONS = list(lessons().values())
FILE_MAGICS = ("%%answer", "%%writefile")


def read(lesson: Lesson) -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS / lesson.notebook, as_version=4)


def code(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def prose(notebook) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def text(output) -> str:
    return output.get("text") or output.get("data", {}).get("text/plain") or output.get("evalue", "")


# A cell that prints the schema as the cell before it has left it.
PROBE = """
def _look():
    import json, psycopg
    from migration_lab.pictures import snapshot
    with psycopg.connect(autocommit=True) as session:
        session.execute("SET lock_timeout = '1s'")
        try:
            print(json.dumps(snapshot(session).to_dict()))
        except psycopg.errors.LockNotAvailable:
            print("{}")
_look()
"""


@pytest.fixture(scope="module")
def items_in(running, tmp_path_factory):
    """What ``example_items`` was in a lesson, from cell to cell: ``items_in(lesson)``, one table each."""
    done: dict[str, list[Table]] = {}
    workspaces = []

    def states(lesson: Lesson) -> list[Table]:
        if lesson.number not in done:
            workspace = Workspace(tmp_path_factory.mktemp("Zoë's work"))
            workspaces.append(workspace)
            settings = {
                "LAB_WORK": str(workspace.path),
                "LAB_POSTGRES": running.url.render_as_string(hide_password=False),
            }
            done[lesson.number] = _states(lesson, settings)
        return done[lesson.number]

    yield states
    for workspace in workspaces:
        drop_databases(running, workspace)


def _states(lesson: Lesson, settings: dict[str, str]) -> list[Table]:
    notebook = read(lesson)
    cells, probes = notebook.cells, []
    notebook.cells = []
    for cell in cells:
        notebook.cells.append(cell)
        if cell.cell_type == "code":
            probes.append(nbformat.v4.new_code_cell(PROBE))
            notebook.cells.append(probes[-1])
    execute(notebook, NOTEBOOKS, settings)
    schemas = [Schema.from_dict(json.loads(probe.outputs[0].text)) for probe in probes]
    return [schema.tables["example_items"] for schema in schemas if "example_items" in schema.tables]


@pytest.fixture
def templates_items(database) -> Table:
    """``example_items`` as the template leaves it."""
    database.execute(template.USERS)
    database.execute(template.ITEMS)
    return snapshot(database).tables["example_items"]


def names(table: Table) -> set[str]:
    kinds = {"column": table.columns, "index": table.indexes, "constraint": table.constraints}
    return {f"{kind} {name}" for kind, things in kinds.items() for name in things}


def promised(lesson: Lesson) -> set[str]:
    """The names that the manifest says a lesson creates."""
    return {name for part in lesson.template for name in template.CREATES.get(part, ())}


by_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.notebook)


@pytest.mark.parametrize("lesson", list(filter(promised, LESSONS)), ids=lambda lesson: lesson.notebook)
def test_a_lesson_creates_what_the_manifest_says_of_the_template(lesson, items_in):
    """A section of the template that a lesson names and never runs has not been taught."""
    assert promised(lesson) <= {name for state in items_in(lesson) for name in names(state)}


def test_no_section_of_the_template_is_left_out():
    claimed = Counter(part for lesson in LESSONS for part in lesson.template)
    assert claimed == Counter([*template.CREATES, *template.SAID])


def test_no_name_of_the_templates_table_is_left_out(templates_items):
    """The course is about this table: every column, index, key and constraint of it belongs to some section."""
    told = {name for part in template.CREATES.values() for name in part}
    assert told == names(templates_items) | template.COMMENTED_OUT


def test_the_course_arrives_at_the_templates_table(items_in, templates_items):
    """What the lessons build piece by piece is the template's table in the end, to the last comment."""
    workflow = next(lesson for lesson in LESSONS if "HOW TO USE: test migration" in lesson.template)
    whole = [state for state in items_in(workflow) if list(state.columns) == list(templates_items.columns)]
    assert whole, "no cell leaves a table with the template's columns in the template's order"
    differences = [diff(Schema(tables={"": templates_items}), Schema(tables={"": state})) for state in whole]
    assert [] in differences, differences[-1]


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
    assert code(notebook)[0].source == f"%load_ext migration_lab\n%lesson {lesson.number} --reset"
    checked = [cell.source.split()[1] for cell in code(notebook) if cell.source.startswith("%check")]
    assert checked == [exercise.id for exercise in lesson.exercises]


@by_lesson
def test_a_lesson_has_the_shape_of_a_lesson(lesson):
    """Short cells, one idea each, a prediction for what is worth predicting, and keypoints to take along."""
    notebook = read(lesson)
    assert 15 <= len(notebook.cells) <= 30
    for cell in code(notebook):
        assert cell.source.startswith(FILE_MAGICS) or len(cell.source.splitlines()) <= 8, cell.source
        assert len(cell.source.splitlines()) <= 60, cell.source
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert len(cell.source.split()) <= 190, f"one idea a cell: {cell.source[:60]}…"
    said = prose(notebook)
    assert said.count("**Predict.**") >= 2
    assert said.count("**Predict.**") == said.count("<details>") == said.count("</details>")
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
    shown += "\n".join(text(output) for cell in code(notebook) for output in cell.outputs)
    shown += "\n".join(
        path.read_text(encoding="utf-8") for exercise in lesson.exercises for path in exercise.folder.glob("*.*")
    )
    body = "\n\n".join(cell.source for cell in notebook.cells[1:] if cell.cell_type == "markdown")
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
