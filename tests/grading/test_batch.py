"""`lab check ID --answer DIR …`: answers in folders, graded as a learner's are, with nothing of a learner's touched.

Authors run it over hundreds of folders and read its JSON by program: order, exit status and one line for each pair must
hold whatever the answers do, and the server that they share must be left as it was.
"""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from tests.waiting import wait_until

from migration_lab.course import find_exercise
from migration_lab.grading import batch
from migration_lab.learner import Outcome
from migration_lab.runner import forked
from migration_lab.workspace import Workspace
from migration_xray.errors import UserError

FIRST, PHONE = find_exercise("first_step"), find_exercise("add_phone")
FILE = "migrations/versions/0004_city.py"
SOLUTION = (FIRST.folder / "solution" / FILE).read_text(encoding="utf-8")


def also(code: str) -> str:
    """The solution, whose upgrade begins with this code."""
    before, upgrade, after = SOLUTION.partition("def upgrade() -> None:\n")
    assert upgrade
    return f"{before}import os, pathlib, time\n\n\n{upgrade}    {code}\n{after}"


@pytest.fixture
def place(running, tmp_path):
    """The variables of a learner who has no folder yet, on the shared server."""
    return {"LAB_POSTGRES": running.url.render_as_string(hide_password=False), "LAB_WORK": tmp_path / "work"}


@pytest.fixture
def check(lab, place, running):
    """Run `lab check …` to its end; it leaves no folder, no database and no session."""

    def run(*arguments):
        process = lab("check", *arguments, **place)
        assert not place["LAB_WORK"].exists(), "a workspace was made, and nobody asked for one"
        assert left_behind(running, process.pid) == []
        assert "Traceback" not in process.said
        return process

    return run


def left_behind(running, pid: int) -> list[str]:
    with running.connect() as session:
        rows = session.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %(stem)s)"
            " UNION ALL SELECT application_name FROM pg_stat_activity WHERE starts_with(application_name, %(stem)s)",
            {"stem": f"{batch.STEM}{pid}_"},
        ).fetchall()
    return [name for (name,) in rows]


def answer(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def read(process) -> list[dict]:
    return [json.loads(line) for line in process.said.splitlines()]


def test_pairs_are_told_in_the_order_asked(check, tmp_path):
    """The slow one comes first, two are graded at a time, and the reader matches lines with folders by their order."""
    slow = answer(tmp_path / "slow", {FILE: also("time.sleep(3)")})
    town = answer(tmp_path / "town", {FILE: SOLUTION.replace('"city"', '"town"')})
    broken = answer(tmp_path / "Zoë's", {FILE: "def upgrade(:\n"})
    process = check(
        "first_step", "--answer", slow,
        "add_phone", "--answer", PHONE.folder / "solution",
        "first_step", f"--answer={town}",
        "--json",
        "first_step", "--answer", broken,
        "first_step", "--answer", FIRST.folder / "starter",
    )  # fmt: skip
    assert process.returncode == 1
    results = read(process)
    assert [list(result) for result in results] == [["exercise", "outcome", "message", "at_fault"]] * 5
    assert [(result["exercise"], result["outcome"], result["at_fault"]) for result in results] == [
        ("first_step", "passed", True),
        ("add_phone", "passed", True),
        ("first_step", "not yet", True),
        ("first_step", "could not run", True),
        ("first_step", "not attempted", True),
    ]
    assert "users has a new column town" in results[2]["message"]
    assert "SyntaxError" in results[3]["message"]


def test_all_passed_is_0(check):
    process = check("first_step", "--answer", FIRST.folder / "solution")
    assert process.returncode == 0
    place, verdict = process.said.splitlines()
    assert place == f"first_step, {FIRST.folder / 'solution'}"
    assert verdict.startswith("✔ Passed: users.city is there")


def test_a_result_is_printed_when_it_is_there(lab, place, tmp_path):
    """An author watches a run of ten minutes, and it may be stopped."""
    hangs = answer(tmp_path / "hangs", {FILE: also("while True: pass")})
    solution = FIRST.folder / "solution"
    process = lab(
        "check", "first_step", "--answer", solution, "first_step", "--answer", hangs, "--json", wait=False, **place
    )
    assert json.loads(process.stdout.readline())["outcome"] == "passed"
    assert process.poll() is None


def test_what_cannot_be_graded_is_told_and_the_rest_is_graded(check, tmp_path):
    """One wrong name among four hundred must not cost the other results."""
    outside = answer(tmp_path / "outside", {"delete.txt": "../../notes.txt\n", FILE: SOLUTION})
    unknown = answer(tmp_path / "unknown", {"delete.txt": "migrations/versions/0009_none.py\n", FILE: SOLUTION})
    solution = FIRST.folder / "solution"
    process = check(
        "first_stop", "--answer", solution,
        "first_step", "--answer", tmp_path / "nowhere",
        "first_step", "--answer", outside,
        "first_step", "--answer", unknown,
        "first_step", "--answer", solution, "--json",
    )  # fmt: skip
    assert process.returncode == 2
    *refused, passed = read(process)
    assert passed["outcome"] == "passed"
    assert [(result["outcome"], result["at_fault"]) for result in refused] == [("could not run", False)] * 4
    assert [result["exercise"] for result in refused] == ["first_stop", *["first_step"] * 3]
    for result, words in zip(
        refused,
        [
            'There is no exercise "first_stop". The nearest is first_step.',
            f"{tmp_path / 'nowhere'} is not a folder. Give one with",
            "delete.txt names ../../notes.txt, which is not in the exercise's project. Write the path",
            "delete.txt names migrations/versions/0009_none.py, and first_step begins with no such file. Write the path",
        ],
        strict=True,
    ):
        assert words in result["message"]


@pytest.mark.parametrize("name", ["/etc/passwd", "migrations/../../x", "..\\x", "C:\\x", "C:x"])
def test_delete_txt_stays_in_the_project(tmp_path, name):
    folder = answer(tmp_path, {"delete.txt": f"{FILE}\n{name}\n"})
    with pytest.raises(UserError, match="which is not in the exercise's project"):
        batch.deleted(folder)


def test_a_server_that_cannot_be_had_is_2(lab, place):
    """The script that reads the results must not take it for wrong answers."""
    place |= {"LAB_POSTGRES": "postgresql://lab:secret@127.0.0.1:1/postgres"}
    process = lab("check", "first_step", "--answer", FIRST.folder / "solution", "--json", **place)
    assert process.returncode == 2
    (result,) = read(process)
    assert (result["outcome"], result["at_fault"]) == ("could not run", False)
    assert result["message"].endswith("Your answer is not the cause.")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["first_step", "add_phone", "--answer", "."], "2 exercises and 1 folders: give each exercise one"),
        (["first_step", "--answer", ".", "--answer", "."], "1 exercises and 2 folders"),
        (["--answer", "."], "0 exercises and 1 folders"),
        (["first_step", "--answer", ".", "--jsn"], "unrecognized arguments: --jsn"),
        (["first_step", "add_phone"], "unrecognized arguments: add_phone"),
    ],
)
def test_pairs_that_are_none_are_refused(check, arguments, sentence):
    process = check(*arguments)
    assert process.returncode == 2
    assert sentence in process.said


def test_json_is_for_folders(check):
    process = check("first_step", "--json")
    assert process.returncode == 1
    assert "--json is for folders: lab check EXERCISE --answer DIR --json" in process.said


def test_the_help_says_what_a_script_needs(lab):
    said = " ".join(lab("check", "--help").said.split())
    for words in (
        "[EXERCISE --answer DIR ...]",
        "delete.txt",
        "expect.txt",
        "why.txt",
        '"not attempted"',
        "Exit status: 0 if all",
    ):
        assert words in said


# The files of an answer


def grade(running, exercise, *folders: Path):
    return batch.grade_answer(exercise, folders, lambda: running)


def test_delete_txt_removes_files_of_the_starter(running, tmp_path):
    """An answer may be one in which the starter's file has another name."""
    other = FILE.replace("0004_city", "0004_town_of_a_user")
    folder = answer(tmp_path / "both", {other: SOLUTION})
    found = grade(running, FIRST, folder)
    assert found.outcome is not Outcome.PASSED, "there are two revisions of one name"
    answer(folder, {"delete.txt": f"\ufeff\n  {FILE.replace('/', chr(92))}  \r\n\n"})
    found = grade(running, FIRST, folder)
    assert found.outcome is Outcome.PASSED, found


def test_what_changes_nothing_is_no_attempt(running, tmp_path):
    notes = {"expect.txt": "not attempted", "why.txt": "It is the starter.", "delete.txt": "\n"}
    found = grade(running, FIRST, answer(tmp_path / "notes", notes))
    assert found.outcome is Outcome.NOT_ATTEMPTED
    assert found.message == f"the starter is unchanged. Put the answer into the folder as {FILE}.", (
        "it has no cells to run"
    )
    starter = {FILE: (FIRST.folder / "starter" / FILE).read_text(encoding="utf-8")}
    same = answer(tmp_path / "same", starter | {"delete.txt": FILE})
    assert grade(running, FIRST, same).outcome is Outcome.NOT_ATTEMPTED


def test_what_only_removes_is_an_attempt(running, tmp_path):
    found = grade(running, FIRST, answer(tmp_path, {"delete.txt": FILE}))
    assert found.outcome is Outcome.NOT_YET and "users has no column city" in found.message


def test_only_the_folders_own_notes_are_left_out(running, tmp_path):
    """A migration may read a file of that name elsewhere in its project."""
    reads = also("open('data/why.txt').close()")
    found = grade(running, FIRST, answer(tmp_path, {FILE: reads, "data/why.txt": "because"}))
    assert found.outcome is Outcome.PASSED, found


def test_the_answers_own_files_stay_as_they_are(running, tmp_path):
    writes = also(f"open({FILE!r}, 'a').write('# more'); pathlib.Path('new').touch()")
    folder = answer(tmp_path, {FILE: writes})
    found = grade(running, FIRST, folder)
    assert f"your migration changed files of the project: {FILE}." in found.message
    assert [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()] == [FILE]
    assert (folder / FILE).read_text(encoding="utf-8") == writes


# Nothing is touched, nothing is left


def test_a_learners_work_is_not_touched(lab, place, running):
    """An instructor has a folder of their own, and looks at a participant's answer."""
    workspace = Workspace(place["LAB_WORK"])
    assert lab("check", "first_step", **place).returncode == 1  # which makes what a learner has
    before = {path: path.read_bytes() for path in workspace.path.rglob("*") if path.is_file()}
    assert lab("check", "first_step", "--answer", FIRST.folder / "solution", **place).returncode == 0
    assert {path: path.read_bytes() for path in workspace.path.rglob("*") if path.is_file()} == before


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_an_interrupt_leaves_nothing(lab, place, running, tmp_path):
    """Ctrl-C after the wrong folder was named: two gradings are at work then, and more are to come."""
    hangs = also(f"pathlib.Path({str(tmp_path)!r}, op.get_bind().engine.url.database).touch(); time.sleep(600)")
    folder = answer(tmp_path / "hangs", {FILE: hangs})
    process = lab("check", *["first_step", "--answer", folder] * 4, "--json", wait=False, **place)
    wait_until(lambda: len(list(tmp_path.glob(f"{batch.STEM}*"))) == 2)
    assert len(left_behind(running, process.pid)) == 4, "two databases and their sessions"
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    assert (process.returncode, said) == (130, "")
    assert left_behind(running, process.pid) == []
    assert len(list(tmp_path.glob(f"{batch.STEM}*"))) == 2, "another one was begun"


def test_what_a_killed_run_left_is_dropped_by_the_next(lab, place, running, tmp_path):
    hangs = also(f"pathlib.Path({str(tmp_path / 'up')!r}).touch(); time.sleep(600)")
    folder = answer(tmp_path / "hangs", {FILE: hangs})
    process = lab("check", "first_step", "--answer", folder, wait=False, **place)
    wait_until((tmp_path / "up").exists)
    process.kill()
    process.wait()
    wait_until(lambda: len(left_behind(running, process.pid)) == 1)  # its session is gone
    assert lab("check", "first_step", "--answer", FIRST.folder / "solution", **place).returncode == 0
    assert left_behind(running, process.pid) == []


@pytest.mark.skipif(not forked.AVAILABLE, reason="needs fork")
def test_answers_share_the_process_that_has_imported_alembic(check, tmp_path):
    """To import it takes longer than to grade a small answer, and an author has hundreds."""
    notes = also(f"pathlib.Path({str(tmp_path)!r}, f'parent {{os.getppid()}}').touch()")
    folder = answer(tmp_path / "notes", {FILE: notes})
    process = check(*["first_step", "--answer", folder] * 4, "--json")
    assert [result["outcome"] for result in read(process)] == ["passed"] * 4
    assert len(list(tmp_path.glob("parent *"))) == 1
