"""The promise of ``work/``: nothing that a learner wrote is ever overwritten or lost.

The course here is a folder of small notebooks that can be published anew; all else is real: files, locks, disks.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import nbformat
import pytest
from conftest import drop_databases

from migration_lab import tag as tags
from migration_lab import workspace as workspaces
from migration_lab.cli import main
from migration_lab.course import find_lesson
from migration_lab.files import write_whole
from migration_lab.learner import notebooks as delivery
from migration_lab.learner import refresh_notebooks
from migration_lab.paths import NOTEBOOKS
from migration_lab.workspace import Workspace

on_posix = pytest.mark.skipif(os.name == "nt", reason="mounts a disk or makes a link as POSIX systems do")


@pytest.fixture
def work(tmp_path, monkeypatch) -> Workspace:
    """A new learner's folder; nothing here needs a server."""
    monkeypatch.setenv("LAB_WORK", str(tmp_path / "Zoë's work"))
    return Workspace()


class Course:
    """A course of two notebooks, ``00.ipynb`` and ``01.ipynb``, whose text can change as with `git pull`."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir()
        self.publish("00", "first")
        self.publish("01", "first")

    def publish(self, number: str, text: str) -> None:
        ran = {"execution_count": 1, "outputs": [nbformat.v4.new_output("stream", text=f"what {text} gives")]}
        cells = [nbformat.v4.new_markdown_cell(f"# {number}"), nbformat.v4.new_code_cell(f"'{text}'", **ran)]
        for index, cell in enumerate(cells):
            cell["id"] = f"cell{index}"
        nbformat.write(nbformat.v4.new_notebook(cells=cells), self.folder / f"{number}.ipynb")

    def cells(self, number: str) -> list[str]:
        return cells(self.folder / f"{number}.ipynb")


@pytest.fixture
def course(tmp_path, monkeypatch) -> Course:
    course = Course(tmp_path / "course")
    monkeypatch.setattr(delivery, "NOTEBOOKS", course.folder)
    return course


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def cells(notebook: Path) -> list[str]:
    """What people read and write in a notebook, without what its cells print."""
    return [cell.source for cell in nbformat.read(notebook, as_version=4).cells]


def write_in(notebook: Path, words: str) -> None:
    """Add a cell, as a learner does in JupyterLab."""
    content = nbformat.read(notebook, as_version=4)
    content.cells.append(nbformat.v4.new_code_cell(words))
    nbformat.write(content, notebook)


def run_in(notebook: Path, output: str) -> None:
    """Run the notebook: its outputs change, its cells don't."""
    content = nbformat.read(notebook, as_version=4)
    content.cells[1].outputs = [nbformat.v4.new_output("stream", text=output)]
    content.cells[1].execution_count = 7
    nbformat.write(content, notebook)


def notebooks(work: Workspace) -> set[str]:
    return {path.name for path in work.path.glob("*.ipynb")}


# Whose folder it is


def clone(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").touch()
    return folder


def test_the_folder_is_beside_the_course_in_a_clone_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.delenv("LAB_WORK", raising=False)
    monkeypatch.setattr(workspaces, "CLONE", clone(tmp_path / "clone"))
    assert Workspace().path == tmp_path / "clone" / "work"
    monkeypatch.setenv("LAB_WORK", str(tmp_path / "mine"))
    assert Workspace().path == tmp_path / "mine"


def test_the_folder_of_an_installed_package_is_in_the_home(tmp_path, monkeypatch):
    """Above an installed package are the other packages of its environment, where nobody looks for notes."""
    monkeypatch.delenv("LAB_WORK", raising=False)
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr(workspaces, "CLONE", None)
    assert Workspace().path == tmp_path / "migration-lab"


@on_posix
def test_three_users_of_one_installation_do_not_meet(become, running):
    """On a hub all had one folder, or were told "Permission denied": one reset the lesson of another."""
    url = running.url.render_as_string(hide_password=False)
    course = NOTEBOOKS / "00_start_here.ipynb"
    began, homes = [], []
    for uid in (20001, 20002, 20003):
        command, home = become(uid, uid, named=True)
        homes.append(home)
        environment = {"HOME": str(home), "PATH": os.environ["PATH"], "LAB_POSTGRES": url, "LANG": "C.UTF-8"}
        run = [*command, sys.executable, "-m", "jupyter", "execute", "--output", str(home / "ran.ipynb"), str(course)]
        began.append(
            subprocess.Popen(run, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        )
    said = [process.communicate(timeout=300)[0] for process in began]
    assert [process.returncode for process in began] == [0, 0, 0], said
    mine = [Workspace(home / "migration-lab") for home in homes]
    with running.connect() as session:
        names = {name for (name,) in session.execute("SELECT datname FROM pg_database")}
    try:
        assert len({work.tag for work in mine}) == 3
        for uid, work in zip((20001, 20002, 20003), mine, strict=True):
            assert f"lesson_00_{work.tag}" in names
            assert {path.stat().st_uid for path in work.project("lesson_00").rglob("*")} == {uid}
            assert (work.path / "progress.json").is_file()
    finally:
        for work in mine:
            drop_databases(running, work)


@on_posix
def test_a_user_without_a_name_is_told_so(become, lab):
    """On OpenShift a container's user id has no line in /etc/passwd, and initdb's own words name no way out."""
    command, home = become(20004, 20004)
    opened = lab("open", "00", command=command, HOME=home)
    assert opened.returncode == 1
    (sentence,) = opened.said.splitlines()
    assert sentence.startswith("The user id 20004 has no name on this machine (no line in /etc/passwd)"), sentence
    assert "Traceback" not in lab("doctor", command=command, HOME=home).said


@on_posix
def test_a_user_without_a_home_is_told_so(become, lab):
    command, _ = become(20005, 20005)
    opened = lab("open", "00", command=(*command, "env", "--unset=HOME"))
    assert opened.returncode == 1
    assert opened.said.startswith("This user has no home folder, so ~/migration-lab can't be found."), opened.said


# Whose databases they are


def said_of(folder: Path, capsys) -> tuple[str, str]:
    """The folder's tag, and what its user is told about it."""
    tag = Workspace(folder).tag
    return tag, capsys.readouterr().err


def rsync(source: Path, target: Path) -> None:
    """As `rsync -a` does: each file under another name first, with its times at the end."""
    for path in [source, *sorted(source.rglob("*"))]:
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir()
        else:
            shutil.copy2(path, copy.with_name(f".{copy.name}.x"))
            copy.with_name(f".{copy.name}.x").rename(copy)
    shutil.copystat(source, target)


COPIES = {
    "cp -r": lambda source, target: subprocess.run(["cp", "-r", source, target], check=True),
    "cp -a": lambda source, target: subprocess.run(["cp", "-a", source, target], check=True),
    "rsync": rsync,
}


@on_posix
@pytest.mark.parametrize("way", COPIES)
def test_a_copied_folder_gets_a_tag_of_its_own(tmp_path, way, capsys):
    """A prepared folder was copied for two learners, and `lab reset 00` of one dropped the other's database."""
    original, copy = tmp_path / "Zoë's work", tmp_path / "Ann's work"
    tag = Workspace(original).tag
    COPIES[way](original, copy)
    (copy / "progress.json").write_text("{}")
    own, said = said_of(copy, capsys)
    assert own != tag
    assert said.startswith(f"{copy} seems to be a copy: {original} has the same tag. It gets databases of its own")
    assert f"end in _{tag}. To use those from here again, write {tag} into {copy / '.lab' / 'tag'}." in said
    assert [json.loads(saved.read_text())["tag"] for saved in (copy / "backups").iterdir()] == [tag]
    assert said_of(copy, capsys) == (own, ""), "it is said once"
    assert said_of(original, capsys) == (tag, "")


def test_what_the_sentence_about_a_copy_says_brings_the_databases_back(tmp_path, capsys):
    original, copy = tmp_path / "work", tmp_path / "copy"
    tag = Workspace(original).tag
    shutil.copytree(original, copy)
    assert Workspace(copy).tag != tag
    (copy / ".lab" / "tag").write_text(tag)
    capsys.readouterr()
    assert [said_of(copy, capsys), said_of(copy, capsys)] == [(tag, ""), (tag, "")]


def test_a_moved_folder_keeps_its_tag(tmp_path, capsys):
    """Its databases on a shared server would not be found again."""
    tag = Workspace(tmp_path / "work").tag
    (tmp_path / "work").rename(tmp_path / "moved")
    assert said_of(tmp_path / "moved", capsys) == (tag, "")
    (tmp_path / "moved").rename(tmp_path / "work")
    assert said_of(tmp_path / "work", capsys) == (tag, "")


@pytest.mark.parametrize("first", ["work", "aside"])
def test_a_folder_that_was_moved_aside_and_copied_back_shares_nothing(tmp_path, first, capsys):
    tag = Workspace(tmp_path / "work").tag
    (tmp_path / "work").rename(tmp_path / "aside")
    shutil.copytree(tmp_path / "aside", tmp_path / "work")
    tags = {
        name: said_of(tmp_path / name, capsys)[0] for name in sorted(("work", "aside"), key=lambda name: name != first)
    }
    assert sorted(one == tag for one in tags.values()) == [False, True]
    assert {name: Workspace(tmp_path / name).tag for name in tags} == tags


@on_posix
def test_one_folder_under_two_names_is_no_copy(tmp_path, capsys):
    tag = Workspace(tmp_path / "work").tag
    (tmp_path / "link").symlink_to(tmp_path / "work")
    assert said_of(tmp_path / "link", capsys) == (tag, "")


@on_posix
def test_a_copy_of_a_folder_that_is_closed_is_a_copy(become, lab, running, tmp_path, open_folder):
    """Another user's home is often closed: whether the original is still there can't be seen, so it counts as there."""
    original = open_folder / "closed" / "work"
    tag = Workspace(original).tag
    command, home = become(20006, 20006)
    shutil.copytree(original, home / "migration-lab")
    for path in [home / "migration-lab", *(home / "migration-lab").rglob("*")]:
        os.chown(path, 20006, 20006)
    original.parent.chmod(0o700)
    url = running.url.render_as_string(hide_password=False)
    said = lab("open", "00", command=command, HOME=home, LAB_POSTGRES=url).said
    own = Workspace(home / "migration-lab").tag
    drop_databases(running, Workspace(home / "migration-lab"))
    assert f"it was made in {original}, which can't be looked at" in said
    assert own != tag and f"lesson_00_{own}" in said


def test_a_tag_of_an_older_lab_is_kept(tmp_path, capsys):
    (tmp_path / ".lab").mkdir()
    (tmp_path / ".lab" / "tag").write_text("cfa1a0")
    assert [said_of(tmp_path, capsys), said_of(tmp_path, capsys)] == [("cfa1a0", ""), ("cfa1a0", "")]
    shutil.copytree(tmp_path, tmp_path / "copy")
    assert Workspace(tmp_path / "copy").tag != "cfa1a0"


@pytest.fixture
def at(monkeypatch):
    """``at("pc-2", "nfs4")``: what the system says of the machine and the disk; nothing else can be had of other machines."""

    def stand_in(machine: str, kind: str = "ext4", *, is_root: bool = True, container: bool = False) -> None:
        monkeypatch.setattr(tags, "_machine", lambda: machine)
        monkeypatch.setattr(tags, "_file_system", lambda path: (kind, is_root))
        monkeypatch.setattr(tags, "CONTAINER", ("/",) if container else ())
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)

    return stand_in


def test_a_golden_image_is_a_copy(tmp_path, at, capsys):
    """Its path, its inodes and its user are the same on each machine."""
    at("template 3d12")
    tag = Workspace(tmp_path).tag
    at("pc-7 3d12")
    own, said = said_of(tmp_path, capsys)
    assert own != tag and "it was made on the machine template 3d12, and this one is pc-7 3d12" in said


def test_a_home_on_the_network_keeps_its_tag_on_each_machine(tmp_path, at, capsys):
    at("pc-1", "nfs4")
    tag = Workspace(tmp_path).tag
    at("pc-2", "nfs4")
    assert said_of(tmp_path, capsys) == (tag, "")


def test_a_volume_keeps_its_tag_in_each_container(tmp_path, at, capsys):
    """Docker gives each container a name of its own, at each start."""
    at("0a1b2c", is_root=False, container=True)
    tag = Workspace(tmp_path / "volume").tag
    at("3d4e5f", is_root=False, container=True)
    assert said_of(tmp_path / "volume", capsys) == (tag, "")
    (tmp_path / "volume").rename(tmp_path / "first")  # a copy of it is mounted at the same path in another container
    shutil.copytree(tmp_path / "first", tmp_path / "volume")
    own, said = said_of(tmp_path / "volume", capsys)
    assert own != tag and "it is not the folder that was made here first" in said


def test_a_folder_in_a_containers_own_layer_is_that_containers(tmp_path, at, capsys):
    """An image that was made with a prepared folder in it gives the same folder to each container."""
    at("0a1b2c", "overlay", container=True)
    tag = Workspace(tmp_path).tag
    assert said_of(tmp_path, capsys) == (tag, "")
    at("3d4e5f", "overlay", container=True)
    assert said_of(tmp_path, capsys)[0] != tag


def test_a_hubs_volumes_of_one_image_are_their_users(tmp_path, at, monkeypatch, capsys):
    at("pod-1", "ext4", is_root=False, container=True)
    monkeypatch.setenv("JUPYTERHUB_USER", "zoë")
    tag = Workspace(tmp_path).tag
    monkeypatch.setenv("JUPYTERHUB_USER", "ann")
    own, said = said_of(tmp_path, capsys)
    assert own != tag and "it was made for zoë, and you are ann" in said
    monkeypatch.delenv("JUPYTERHUB_USER")
    assert said_of(tmp_path, capsys) == (own, ""), "a terminal outside of the hub"


# Notebooks that nobody has touched


def test_the_course_is_laid_whole_and_without_its_outputs(work):
    """The stored outputs answered each prediction before it was made, and nobody could see what they had run."""
    assert refresh_notebooks(work) == []
    for source in NOTEBOOKS.glob("*.ipynb"):
        copy = nbformat.read(work.path / source.name, as_version=4)
        nbformat.validate(copy)
        assert cells(work.path / source.name) == cells(source)
        assert [cell.id for cell in copy.cells] == [cell.id for cell in nbformat.read(source, as_version=4).cells]
        ran = [cell for cell in copy.cells if cell.cell_type == "code" and (cell.outputs or cell.execution_count)]
        assert ran == []


def test_the_pictures_of_the_lessons_come_along(work):
    """Without them JupyterLab showed the first lesson's picture as a broken link: it serves the learner's folder alone."""
    refresh_notebooks(work)
    shown = [picture.name for picture in NOTEBOOKS.glob("images/*.svg")]
    assert "the_lab.svg" in shown
    for name in shown:
        assert (work.path / "images" / name).read_bytes() == (NOTEBOOKS / "images" / name).read_bytes()
    (work.path / "images" / "the_lab.svg").write_text("drawn over")
    refresh_notebooks(work)
    assert (work.path / "images" / "the_lab.svg").read_bytes() == (NOTEBOOKS / "images" / "the_lab.svg").read_bytes()
    assert [saved.read_text() for saved in work.backups.glob("the_lab-*.svg")] == ["drawn over"]


def test_the_glossary_comes_along_and_its_notes_stay(work, course):
    """The lessons link to it. Who writes into it keeps that, and gets the newer one beside it, as with a lesson."""
    glossary = course.folder / "glossary.md"
    glossary.write_bytes(b"# Glossary\r\n\r\nfirst\r\n")  # as git lays it on Windows
    assert refresh_notebooks(work) == []
    copy = work.path / "glossary.md"
    assert text(copy) == "# Glossary\n\nfirst\n"
    glossary.write_bytes(b"# Glossary\r\n\r\nsecond\r\n")
    assert refresh_notebooks(work) == []
    assert "second" in text(copy)
    copy.write_text("my notes", encoding="utf-8")
    glossary.write_bytes(b"# Glossary\r\n\r\nthird\r\n")
    for _ in range(2):
        assert refresh_notebooks(work) == [
            "glossary.md has changes of yours and stays; the course's newer one is glossary.newer.md."
        ]
        assert text(copy) == "my notes"
        assert "third" in text(work.path / "glossary.newer.md")


def test_an_untouched_copy_is_renewed(work, course):
    refresh_notebooks(work)
    course.publish("01", "second")
    assert refresh_notebooks(work) == []
    assert cells(work.path / "01.ipynb") == course.cells("01")
    assert notebooks(work) == {"00.ipynb", "01.ipynb"}


def test_a_copy_is_left_alone_while_the_course_stays_the_same(work, course):
    """Every start refreshes: it must neither touch a file that is open in JupyterLab nor fill backups/."""
    refresh_notebooks(work)
    run_in(work.path / "00.ipynb", "mine")
    write_in(work.path / "01.ipynb", "mine")
    before = {path: (text(path), path.stat().st_mtime_ns) for path in work.path.glob("*.ipynb")}
    assert refresh_notebooks(work) == []
    assert {path: (text(path), path.stat().st_mtime_ns) for path in work.path.glob("*.ipynb")} == before
    assert not work.backups.exists()


def test_a_deleted_copy_comes_again(work, course):
    refresh_notebooks(work)
    (work.path / "01.ipynb").unlink()
    assert refresh_notebooks(work) == []
    assert cells(work.path / "01.ipynb") == course.cells("01")


def test_a_copy_that_was_only_run_is_renewed_and_its_outputs_are_saved(work, course):
    """Outputs of an old lesson beside the text of a new one would mislead; a learner may still want to look at them."""
    refresh_notebooks(work)
    run_in(work.path / "01.ipynb", "what my server said")
    course.publish("01", "second")
    assert refresh_notebooks(work) == []
    assert cells(work.path / "01.ipynb") == course.cells("01")
    (saved,) = work.backups.glob("01-*.ipynb")
    assert "what my server said" in text(saved)


# Notebooks that an older lab has laid: with their outputs, and a record that knows the cells alone


@pytest.fixture
def older(work, course) -> Workspace:
    """A learner's folder as the first edition laid it."""
    for number in ("00", "01"):
        shutil.copyfile(course.folder / f"{number}.ipynb", work.path / f"{number}.ipynb")
    digests = {f"{number}.ipynb": delivery.cells_digest(course.folder / f"{number}.ipynb") for number in ("00", "01")}
    work.write_json("notebooks.json", digests)
    return work


def outputs(notebook: Path) -> list[str]:
    code = [cell for cell in nbformat.read(notebook, as_version=4).cells if cell.cell_type == "code"]
    return [output.text for cell in code for output in cell.outputs]


def test_a_copy_of_an_older_lab_loses_its_outputs_once(older, course):
    """Its owner reads on with the answers on the page for as long as the lesson stays the same."""
    run_in(older.path / "01.ipynb", "what my server said")
    assert refresh_notebooks(older) == []
    assert outputs(older.path / "00.ipynb") == outputs(older.path / "01.ipynb") == []
    (saved,) = older.backups.glob("01-*.ipynb")
    assert outputs(saved) == ["what my server said"]
    run_in(older.path / "01.ipynb", "once more")
    assert refresh_notebooks(older) == []
    assert outputs(older.path / "01.ipynb") == ["once more"]


def test_an_edited_copy_of_an_older_lab_stays(older, course):
    write_in(older.path / "01.ipynb", "my answer")
    before = text(older.path / "01.ipynb")
    assert refresh_notebooks(older) == [], "the course has nothing newer"
    assert text(older.path / "01.ipynb") == before
    course.publish("01", "second")
    assert len(refresh_notebooks(older)) == 1
    assert text(older.path / "01.ipynb") == before


def test_after_an_update_of_python_an_untouched_lesson_is_not_unsaved(work, course, monkeypatch):
    """JupyterLab writes Python's version into each notebook that it opens, and asked about it when the tab was closed."""
    refresh_notebooks(work)
    run_in(work.path / "01.ipynb", "what my server said")
    newer = delivery._kernel() | {"language_info": {"name": "python", "version": "3.99.0"}}
    monkeypatch.setattr(delivery, "_kernel", lambda: newer)
    before = text(work.path / "01.ipynb")
    assert refresh_notebooks(work) == []
    assert '"version": "3.99.0"' in text(work.path / "00.ipynb")
    assert text(work.path / "01.ipynb") == before


# Notebooks that have another name now

RENAMED = find_lesson("11")
OLD = f"{RENAMED.number}_{RENAMED.formerly}.ipynb"


@pytest.fixture
def named_before(work) -> Workspace:
    """A learner's folder in which lesson 11 has its earlier name."""
    refresh_notebooks(work)
    (work.path / RENAMED.notebook).rename(work.path / OLD)
    record = work.read_json("notebooks.json", {})
    work.write_json("notebooks.json", record | {OLD: record.pop(RENAMED.notebook)["cells"]})
    return work


def test_an_untouched_copy_goes_with_its_earlier_name(named_before):
    """Two files of one lesson, and nobody knows which of them is the course's."""
    assert refresh_notebooks(named_before) == []
    assert not (named_before.path / OLD).exists()
    assert (named_before.path / RENAMED.notebook).exists()
    assert len(list(named_before.backups.glob(f"{Path(OLD).stem}-*.ipynb"))) == 1


def test_an_edited_copy_keeps_its_earlier_name_and_is_still_its_lesson(named_before):
    write_in(named_before.path / OLD, "my answer")
    before = text(named_before.path / OLD)
    for _ in range(2):
        assert refresh_notebooks(named_before) == [
            f"{OLD} has changes of yours and stays; the lesson's file is now {RENAMED.notebook}."
        ]
        assert text(named_before.path / OLD) == before
        assert (named_before.path / RENAMED.notebook).exists()
    assert find_lesson(OLD) is RENAMED


# Notebooks that a learner has written in


def test_an_edited_copy_stays_and_the_newer_one_lies_beside_it(work, course):
    refresh_notebooks(work)
    write_in(work.path / "01.ipynb", "my answer")
    mine = text(work.path / "01.ipynb")
    course.publish("01", "second")
    sentence = "01.ipynb has changes of yours and stays; the course's newer one is 01.newer.ipynb."
    for _ in range(2):  # at each start, until the learner has made one of the two
        assert refresh_notebooks(work) == [sentence]
        assert text(work.path / "01.ipynb") == mine
        assert cells(work.path / "01.newer.ipynb") == course.cells("01")
    assert not work.backups.exists()


def test_work_in_the_newer_copy_is_kept_too(work, course):
    """The next start used to lay the course's text over what people had written in the newer copy."""
    refresh_notebooks(work)
    write_in(work.path / "01.ipynb", "my answer")
    course.publish("01", "second")
    refresh_notebooks(work)
    newer = work.path / "01.newer.ipynb"
    write_in(newer, "my newer answer")
    mine = text(newer)
    refresh_notebooks(work)
    assert text(newer) == mine

    course.publish("01", "third")
    (sentence,) = refresh_notebooks(work)
    (saved,) = work.backups.glob("01.newer-*.ipynb")
    assert sentence.endswith(f"What stood there is saved as backups/{saved.name}.")
    assert text(saved) == mine
    assert cells(newer) == course.cells("01")


def test_a_learner_who_takes_the_newer_copy_is_up_to_date(work, course):
    """No sentence about changes for ever after, and the next version simply comes."""
    refresh_notebooks(work)
    write_in(work.path / "01.ipynb", "my answer")
    course.publish("01", "second")
    refresh_notebooks(work)
    (work.path / "01.newer.ipynb").replace(work.path / "01.ipynb")
    assert refresh_notebooks(work) == []
    course.publish("01", "third")
    assert refresh_notebooks(work) == []
    assert cells(work.path / "01.ipynb") == course.cells("01")
    assert "01.newer.ipynb" not in notebooks(work)


@pytest.mark.parametrize(
    "damaged",
    [b"", b'{"cells": [{"cell_type": "code", "sou', b"\xff\xfe\x00", b"[]", b'{"cells": [1]}', b'{"cells": null}'],
    ids=["empty", "cut", "not UTF-8", "a list", "no cells", "null"],
)
def test_a_damaged_copy_stays_for_its_owner_to_mend(work, course, damaged):
    """A notebook that a full disk or a merge has damaged stopped the start, or was thrown away with the work in it."""
    refresh_notebooks(work)
    (work.path / "01.ipynb").write_bytes(damaged)
    course.publish("01", "second")
    assert len(refresh_notebooks(work)) == 1
    assert (work.path / "01.ipynb").read_bytes() == damaged
    assert cells(work.path / "01.newer.ipynb") == course.cells("01")


@pytest.mark.parametrize("record", [None, "", '{"01.ipynb": ', "[]"], ids=["gone", "empty", "cut", "of another kind"])
def test_without_its_record_the_lab_takes_every_copy_for_the_learners(work, course, record):
    """A work/ of an older version, or from a backup without its hidden files: nothing in it says who wrote what."""
    refresh_notebooks(work)
    path = work.state / "notebooks.json"
    path.unlink() if record is None else path.write_text(record)
    before = text(work.path / "01.ipynb")
    course.publish("01", "second")
    assert len(refresh_notebooks(work)) == 1
    assert text(work.path / "01.ipynb") == before
    assert cells(work.path / "00.ipynb") == course.cells("00")
    assert cells(work.path / "01.newer.ipynb") == course.cells("01")


def test_a_refresh_that_stopped_midway_is_remembered(work, course):
    """What it had laid was later taken for edited, and the learner was told of changes that they never made."""
    good = text(course.folder / "01.ipynb")
    (course.folder / "01.ipynb").write_bytes(b"\xff")
    with pytest.raises(ValueError):
        refresh_notebooks(work)
    (course.folder / "01.ipynb").write_text(good, encoding="utf-8")
    course.publish("00", "second")
    assert refresh_notebooks(work) == []
    assert cells(work.path / "00.ipynb") == course.cells("00")
    assert notebooks(work) == {"00.ipynb", "01.ipynb"}


@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_every_word_of_the_learners_is_still_somewhere(work, course, seed):
    """The promise itself: any order of writing, running, deleting, moving, `git pull` and starts of the lab."""
    chance = random.Random(seed)
    written: set[str] = set()

    def some_notebook():
        return work.path / chance.choice(sorted(notebooks(work)))

    def write(step):
        write_in(some_notebook(), f"mine-{step}-")
        written.add(f"mine-{step}-")

    def run(step):
        run_in(some_notebook(), f"output {step}")

    def delete(step):
        notebook = some_notebook()
        written.difference_update([words for words in written if words in text(notebook)])
        notebook.unlink()

    def take_the_newer(step):
        for newer in work.path.glob("*.newer.ipynb"):
            mine = newer.with_name(newer.name.replace(".newer", ""))
            if mine.exists():
                mine.rename(work.path / f"old{step}-{mine.name}")
            newer.rename(mine)

    def pull(step):
        course.publish(chance.choice(["00", "01"]), f"version {step}")

    refresh_notebooks(work)
    for step in range(40):
        chance.choices([write, run, delete, take_the_newer, pull], [5, 1, 1, 1, 4])[0](step)
        refresh_notebooks(work)
        everything = "".join(text(path) for path in work.path.rglob("*.ipynb"))
        assert [words for words in written if words not in everything] == [], f"after step {step}"
    assert written


def test_two_starts_at_once_agree(tmp_path):
    """Each chose a tag of its own, so that one went on with databases, or a server, that the other knew nothing of."""
    code = (
        "import os, secrets, time\n"
        "secrets.token_hex = lambda size: time.sleep(0.5) or os.urandom(size).hex()\n"
        "from migration_lab.learner import refresh_notebooks; from migration_lab.workspace import Workspace\n"
        "print(Workspace().tag, refresh_notebooks(Workspace()))"
    )
    here = os.environ | {"LAB_WORK": str(tmp_path / "work")}
    starts = [
        subprocess.Popen([sys.executable, "-c", code], env=here, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    said = {start.communicate(timeout=60)[0] for start in starts}
    tag = Workspace(tmp_path / "work").tag
    assert said == {f"{tag} []\n"}
    for source in NOTEBOOKS.glob("*.ipynb"):
        assert cells(tmp_path / "work" / source.name) == cells(source)
    assert not (tmp_path / "work" / "backups").exists()


# Backups


def test_backups_never_take_each_others_name(work, monkeypatch):
    """Clocks stand still and jump back (daylight saving, an empty battery): a later backup replaced an earlier one."""

    class Stopped(datetime):
        @classmethod
        def now(cls):
            return cls(2026, 10, 25, 2, 30)

    monkeypatch.setattr(workspaces, "datetime", Stopped)
    path = work.path / "0004_city.py"
    saved = []
    for version in ("one", "two", "three"):
        path.write_text(version)
        saved.append(work.back_up(path))
    assert [text(backup) for backup in saved] == ["one", "two", "three"]
    assert {backup.suffix for backup in saved} == {".py"}


def test_the_same_thing_is_saved_once(work):
    """Run All resets its lesson each time: a hundred runs would leave a hundred copies of the same files."""
    project = work.project("lesson_00")
    (project / "migrations").mkdir(parents=True)
    (project / "migrations" / "0001_größe.py").write_text("…", encoding="utf-8")
    first = work.back_up(project)
    (project / "migrations" / "__pycache__").mkdir()
    (project / "migrations" / "__pycache__" / "0001.pyc").write_bytes(b"\0")
    assert work.back_up(project) == first
    (project / "migrations" / "0001_größe.py").write_text("changed", encoding="utf-8")
    second = work.back_up(project)
    assert second != first
    assert text(first / "migrations" / "0001_größe.py") == "…"
    assert text(second / "migrations" / "0001_größe.py") == "changed"
    assert not (second / "migrations" / "__pycache__").exists()
    assert sorted(path.name for path in work.backups.iterdir()) == sorted([first.name, second.name])


def test_nothing_is_saved_of_nothing(work):
    empty = work.path / "empty"
    (empty / "__pycache__").mkdir(parents=True)
    assert work.back_up(empty) is None
    assert work.back_up(work.path / "absent") is None
    assert not work.backups.exists()


@on_posix
def test_a_dangling_link_is_saved_as_it_is(work):
    """Emacs marks a file that is being edited with a link to nowhere: no reset went through while it was open."""
    project = work.project("lesson_00")
    project.mkdir(parents=True)
    (project / "mine.py").write_text("mine")
    (project / ".#mine.py").symlink_to("zoë@laptop.4711:1790000000")
    saved = work.back_up(project)
    assert text(saved / "mine.py") == "mine"
    assert (saved / ".#mine.py").is_symlink()


def test_a_damaged_record_is_set_aside(work):
    """A record cut off by a crash must neither stop the lab nor be lost to someone who could still read it."""
    (work.state / "answers.json").write_text('{"first_step/x.py": "2c')
    assert work.read_json("answers.json", {}) == {}
    (saved,) = work.backups.iterdir()
    assert text(saved) == '{"first_step/x.py": "2c'


def test_damaged_progress_is_set_aside(work, capsys):
    (work.path / "progress.json").write_text("[1, 2")
    assert main(["hint", "first_step"]) == 0
    (saved,) = work.backups.iterdir()
    assert text(saved) == "[1, 2"
    assert '"hints": 1' in text(work.path / "progress.json")


# Disks and folders that refuse


def fill(disk: Path) -> None:
    """Take what room is left on a disk."""
    with open(disk / "filler", "wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 4096):
                pass
        except OSError:
            pass


@pytest.fixture
def full(small_disk, monkeypatch, course):
    """A workspace with work in it, on a disk that is full, and a course that has changed since."""
    monkeypatch.setenv("LAB_WORK", str(small_disk / "work"))
    work = Workspace()
    refresh_notebooks(work)
    run_in(work.path / "00.ipynb", "what my server said")
    write_in(work.path / "01.ipynb", "my answer")
    assert main(["hint", "first_step"]) == 0
    course.publish("00", "second")
    course.publish("01", "second")
    fill(small_disk)
    return work


def contents(work: Workspace) -> dict[str, bytes]:
    return {
        path.relative_to(work.path).as_posix(): path.read_bytes()
        for path in work.path.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def test_a_full_disk_leaves_every_file_whole(full, capsys):
    """A file that was opened for writing before the room was known to be there came out empty."""
    before = contents(full)
    with pytest.raises(OSError):
        refresh_notebooks(full)
    capsys.readouterr()
    assert main(["hint", "first_step"]) == 1
    said = capsys.readouterr().err
    assert said == f"{full.path / 'progress.json'}: No space left on device. Make room on the disk, then try again.\n"
    assert contents(full) == before


def test_when_there_is_room_again_the_refresh_goes_on(full, small_disk):
    with pytest.raises(OSError):
        refresh_notebooks(full)
    (small_disk / "filler").unlink()
    refresh_notebooks(full)
    assert "my answer" in text(full.path / "01.ipynb")
    assert "second" in text(full.path / "01.newer.ipynb")
    assert "second" in text(full.path / "00.ipynb")
    (saved,) = full.backups.glob("00-*.ipynb")
    assert "what my server said" in text(saved)


@pytest.fixture
def read_only(work, course):
    """A workspace with work in it that can't be written to any more."""
    refresh_notebooks(work)
    if os.name == "nt":
        pytest.skip("Windows knows no folder that is read-only")
    if os.geteuid():
        work.path.chmod(0o555)
        work.state.chmod(0o555)
        yield work
        work.state.chmod(0o755)
        work.path.chmod(0o755)
        return
    bind = ["mount", "--bind", "-o", "ro", work.path, work.path]
    if subprocess.run(bind, capture_output=True).returncode:
        pytest.skip("needs the right to mount, as permissions do not hold root back")
    yield work
    subprocess.run(["umount", work.path], check=True)


@pytest.mark.parametrize("verb", [["hint", "first_step"], ["open", "00"]], ids=" ".join)
def test_a_read_only_folder_is_told_so(read_only, verb, running, monkeypatch, capsys):
    """A clone on a share, or one that root made: a traceback, or a wait for a lock that never comes."""
    monkeypatch.setenv("LAB_POSTGRES", running.url.render_as_string(hide_password=False))
    assert main(verb) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert str(read_only.path) in err
    assert err.endswith("Check that you may write there.\n")


def test_a_folder_that_cannot_be_made_is_told_so(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LAB_WORK", str(tmp_path / "file" / "work"))
    assert main(["progress"]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"The learner's folder {tmp_path / 'file' / 'work'} can't be made (Not a directory).")
    assert "set LAB_WORK" in said


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    """Text that can't be encoded stopped the writing halfway, with the old file already gone."""
    path = tmp_path / "progress.json"
    write_whole(path, "whole\n")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "half \udc80")
    assert path.read_bytes() == b"whole\n"
    assert list(tmp_path.iterdir()) == [path]


def test_without_a_course_nothing_is_touched(work, monkeypatch):
    """Installed without its clone there is no course to lay; nothing may be taken away for it."""
    monkeypatch.setattr(delivery, "NOTEBOOKS", Path("nowhere"))
    (work.path / "00.ipynb").write_text("mine")
    assert refresh_notebooks(work) == []
    assert text(work.path / "00.ipynb") == "mine"


def test_the_home_folder_may_be_written_short(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert Workspace(Path("~/lab")).path == tmp_path / "lab"


def test_a_lock_is_let_go_by_a_process_that_dies(work):
    """A kernel that was killed while it held a lock must not stop the next one."""
    code = "import os; from migration_lab.workspace import Workspace\nwith Workspace().locked('progress'): os._exit(9)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 9
    with work.locked("progress"):
        pass


# Where it is


def test_without_a_clone_it_is_in_the_home(monkeypatch, tmp_path):
    """The course's own folder is site-packages then: not the learner's, and gone with the next installation."""
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("LAB_WORK", raising=False)
    monkeypatch.setattr("migration_lab.workspace.CLONE", None)
    assert Workspace().path == tmp_path / "migration-lab"
    monkeypatch.setenv("LAB_WORK", str(tmp_path / "mine"))
    assert Workspace().path == tmp_path / "mine"
