"""``lab watch``: a save, and a moment later the message of the check, in a real terminal's process."""

from __future__ import annotations

import os
import signal
import threading
import time

import psutil
import pytest
from tests.waiting import wait_until

from migration_lab.author.refresh import new_learner
from migration_lab.course import find_exercise, find_lesson
from migration_lab.course.manifest import exercises
from migration_lab.learner import Progress, exercise_at_hand
from migration_lab.learner.grade import Grade, Outcome
from migration_lab.paths import NOTEBOOKS
from migration_lab.server import Embedded, as_url
from migration_lab.workspace import Workspace
from migration_xray.errors import UserError

EXERCISE = find_exercise("first_step")
ANSWER = "migrations/versions/0004_city.py"
SOLUTION = (EXERCISE.folder / "solution" / ANSWER).read_text("utf-8")
WRONG = (EXERCISE.wrong["another_name"] / ANSWER).read_text("utf-8")
on_posix = pytest.mark.skipif(os.name == "nt", reason="sends SIGINT to another process")


class Watch:
    """A ``lab watch`` that runs, and what it has said so far."""

    def __init__(self, process, workspace: Workspace):
        self.process = process
        self.answer = workspace.project(EXERCISE.place) / ANSWER
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line)

    @property
    def grades(self) -> list[str]:
        """The message of each check, without the time before it."""
        return [line[10:] for line in self.lines if line[2:3] == ":" and line[5:6] == ":"]

    def grade(self, number: int) -> str:
        return wait_until(lambda: self.grades[number - 1 : number])[0]


@pytest.fixture
def watch(lab, workspace, running):
    """``watch("first_step")``: begins to watch in this workspace."""

    def begin(*arguments: str, work: Workspace = workspace, **variables: object) -> Watch:
        url = running.url.render_as_string(hide_password=False)
        here = {"LAB_WORK": work.path, "LAB_POSTGRES": url} | variables
        return Watch(lab("watch", *arguments, wait=False, **here), work)

    return begin


def test_each_save_is_checked_and_counts_as_a_check_does(watch, workspace):
    watching = watch("first_step")
    assert watching.grade(1).startswith("○ Not attempted")
    assert "Write your answer into " in watching.grade(1), "a terminal has no cell to run"
    assert f"Edit      {ANSWER}\n" in watching.lines
    watching.answer.write_text(WRONG, "utf-8")
    assert "a new column town" in watching.grade(2)
    watching.answer.write_text(SOLUTION, "utf-8")
    assert watching.grade(3).startswith("✔ Passed")
    assert Progress(workspace).tries(EXERCISE) == 1
    assert Progress(workspace).passed(EXERCISE)


def test_a_file_is_checked_once_it_is_whole(watch, workspace):
    """Some editors empty a file and write it in pieces; half an answer is no try."""
    watching = watch("first_step")
    watching.grade(1)
    pieces = SOLUTION.splitlines(keepends=True)
    for number in range(len(pieces)):
        watching.answer.write_text("".join(pieces[: number + 1]), "utf-8")
        time.sleep(0.1)
    assert watching.grade(2).startswith("✔ Passed")
    assert len(watching.grades) == 2
    assert Progress(workspace).tries(EXERCISE) == 0


def test_an_answer_that_changes_under_the_check_is_checked_again(watch, workspace):
    """What is shown belongs to what is in the file."""
    watching = watch("first_step")
    watching.grade(1)
    watching.answer.write_text(WRONG, "utf-8")
    wait_until(lambda: any("upgrade head" in line for line in watching.lines))
    watching.answer.write_text(SOLUTION, "utf-8")
    wait_until(lambda: any("✔ Passed" in grade for grade in watching.grades))
    assert watching.grades[1:] in ([watching.grades[-1]], [watching.grades[1], watching.grades[-1]])


def test_files_that_an_editor_keeps_beside_are_no_change(watch):
    """Vim writes its swap file with every few words, long before anything is saved."""
    watching = watch("first_step")
    watching.grade(1)
    for name in (".0004_city.py.swp", "0004_city.py~", ".#0004_city.py", "__pycache__/0004_city.pyc"):
        beside = watching.answer.parent / name
        beside.parent.mkdir(exist_ok=True)
        beside.write_text("x")
    watching.answer.write_text(watching.answer.read_text("utf-8"), "utf-8")
    time.sleep(2)
    assert len(watching.grades) == 1


def test_it_sleeps_while_nothing_is_saved(watch):
    """It runs for hours beside an editor, on a laptop's battery."""
    watching = watch("first_step")
    watching.grade(1)
    time.sleep(2)  # what prepares the next check is done by then
    process = psutil.Process(watching.process.pid)
    before = sum(process.cpu_times()[:2])
    time.sleep(5)
    assert sum(process.cpu_times()[:2]) - before < 0.25


@on_posix
def test_control_c_ends_it_quietly(watch):
    watching = watch("first_step")
    watching.grade(1)
    os.kill(watching.process.pid, signal.SIGINT)
    assert watching.process.wait(30) == 0
    assert "Traceback" not in "".join(watching.lines)


@on_posix
def test_control_c_during_a_check_ends_it_quietly(watch):
    watching = watch("first_step")
    watching.grade(1)
    watching.answer.write_text(SOLUTION, "utf-8")
    wait_until(lambda: any("upgrade head" in line for line in watching.lines))
    os.kill(watching.process.pid, signal.SIGINT)
    assert watching.process.wait(30) == 0
    assert "Traceback" not in "".join(watching.lines)


def test_a_server_that_is_down_is_said_and_it_goes_on(watch):
    """Docker is stopped, the laptop sleeps: the terminal that watches must be there when it is back."""
    with new_learner() as learner:
        server = Embedded(learner)
        url = as_url(**server.start()).render_as_string(hide_password=False)
        watching = watch("first_step", work=learner, LAB_POSTGRES=url)
        watching.grade(1)
        assert server.stop()
        watching.answer.write_text(WRONG, "utf-8")
        assert watching.grade(2).startswith("! Could not run: PostgreSQL at 127.0.0.1:")
        assert wait_until(lambda: "To check it again, save once more.\n" in watching.lines)
        server.start()
        watching.answer.write_text(SOLUTION, "utf-8")
        assert watching.grade(3).startswith("✔ Passed")
        assert Progress(learner).tries(EXERCISE) == 0


# Which exercise


def passed(workspace: Workspace, *names: str) -> None:
    for name in names:
        Progress(workspace).graded(Grade(find_exercise(name), Outcome.PASSED, "…"))


def test_without_a_name_it_is_the_exercise_at_hand(workspace):
    """The one that is open, or what is next in the open lesson, or in the course."""
    progress = Progress(workspace)
    assert exercise_at_hand(progress, None).id == "first_step"
    passed(workspace, "first_step", "types_for_free")
    assert exercise_at_hand(progress, None).lesson == "01"
    assert exercise_at_hand(progress, find_exercise("first_step")).id == "first_step"
    lesson = find_lesson("11")
    assert exercise_at_hand(progress, lesson) is lesson.exercises[0]
    passed(workspace, *(exercise.id for exercise in lesson.exercises))
    assert exercise_at_hand(progress, lesson).lesson == "01"
    passed(workspace, *exercises())
    with pytest.raises(UserError, match="All exercises are passed. To work at one again, name it."):
        exercise_at_hand(progress, None)


def test_the_terminals_place_says_which_exercise(watch):
    watching = watch(LAB_PLACE="exercise_add_phone")
    assert watching.grade(1).startswith("○ Not attempted")
    assert f"Task      {find_exercise('add_phone').title}\n" in watching.lines


@pytest.mark.parametrize("exercise", exercises().values(), ids=lambda exercise: exercise.id)
def test_the_files_to_edit_are_those_that_the_lesson_has_cells_for(exercise):
    """Somebody in an editor must find the same gaps as somebody in the notebook."""
    notebook = (NOTEBOOKS / find_lesson(exercise.lesson).notebook).read_text("utf-8")
    cells = [file for file in exercise.to_edit if f"%%answer {exercise.id} {file}\\n" in notebook]
    assert exercise.to_edit and cells == exercise.to_edit
    assert notebook.count(f'"%%answer {exercise.id} ') == len(cells)


def test_a_project_that_is_watched_is_laid_first(workspace, watch):
    """Nothing to edit, nothing to watch: the answer's cell was never run."""
    assert not workspace.project(EXERCISE.place).exists()
    watching = watch("first_step")
    watching.grade(1)
    assert "TODO" in watching.answer.read_text("utf-8")
