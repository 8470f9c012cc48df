"""Both packages as a user without a clone has them: built as wheels, installed into empty environments, and at work there.

The environments get the versions of requirements.lock. uv makes them within seconds from its cache; without uv, pip does.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import jsonschema
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.jupyter.test_start import Site, address, end
from tests.xray.test_trace import SCHEMA

from migration_lab.author import wheels as author
from migration_lab.course.manifest import find_exercise
from migration_lab.paths import ROOT
from migration_lab.server import startstate
from migration_lab.server.embedded import free_port
from migration_lab.workspace import Workspace
from migration_xray.errors import UserError

pytestmark = pytest.mark.elsewhere
LOCK = ROOT / "requirements.lock"
UV = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]))
NOT_THEIRS = ("LAB_", "PG", "JUPYTER_", "IPYTHON", "PYTHON", "VIRTUAL_ENV", "XDG_", "DATABASE_URL", "UV_", "PIP_")
KEPT = ("PYTHONUTF8", "UV_CACHE_DIR", "UV_INDEX", "UV_DEFAULT_INDEX", "PIP_INDEX_URL", "PIP_CACHE_DIR")


def environment() -> dict[str, str]:
    """The variables of a person who has never heard of this clone."""
    return {name: value for name, value in os.environ.items() if name in KEPT or not name.startswith(NOT_THEIRS)}


@dataclass
class Environment:
    """A virtual environment, and the folder in which its user works."""

    folder: Path
    cwd: Path

    def path(self, kind: str) -> Path:
        """Its folder of this kind: "scripts", or "purelib" for the packages."""
        return Path(sysconfig.get_path(kind, "venv", {"base": str(self.folder), "platbase": str(self.folder)}))

    @property
    def python(self) -> Path:
        return self.path("scripts") / ("python.exe" if os.name == "nt" else "python")

    @property
    def packages(self) -> dict[str, metadata.Distribution]:
        found = metadata.distributions(path=[str(self.path("purelib"))])
        return {canonicalize_name(one.metadata["Name"]): one for one in found}

    def make(self) -> None:
        make = [UV, "venv", "--quiet", "--python", sys.executable] if UV else [sys.executable, "-m", "venv"]
        subprocess.run([*make, self.folder], check=True, env=environment())

    def install(self, *what: str | Path) -> None:
        installer = (
            [UV, "pip", "install", "--quiet", "--python", self.python]
            if UV
            else [self.python, "-m", "pip", "install", "-q"]
        )
        subprocess.run([*installer, *what], check=True, env=environment(), cwd=self.cwd)

    def start(self, program: str, *arguments: str | Path, before: tuple = (), cwd: Path | None = None, **variables):
        """Start one of its programs, with both streams in one; ``before`` are words before it."""
        script = shutil.which(program, path=str(self.path("scripts")))
        assert script, f"{program} was not installed"
        return subprocess.Popen(
            [*before, script, *arguments],
            cwd=cwd or self.cwd,
            env=environment() | {name: str(value) for name, value in variables.items()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )

    def run(self, program: str, *arguments: str | Path, status: int = 0, **options) -> str:
        """Run one of its programs to its end; returns what it said."""
        process = self.start(program, *arguments, **options)
        try:
            said = process.communicate(timeout=300)[0]
        finally:
            process.kill()
        assert process.returncode == status, said
        return said


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """A clone in which people have worked, with its wheels in dist/."""
    root = tmp_path_factory.mktemp("clone")
    for name in ("etc", "src", "notebooks"):
        shutil.copytree(ROOT / name, root / name)
    for name in ("pyproject.toml", "README.md", "LICENSE", "docker-compose.yml", ".gitignore"):
        shutil.copy(ROOT / name, root)
    for rubbish in (
        "notebooks/exercises/first_step/__pycache__/check.cpython-311.pyc",
        "notebooks/.ipynb_checkpoints/00_start_here-checkpoint.ipynb",
        "src/migration_lab/.ipynb_checkpoints/cli-checkpoint.py",
        "src/migration_xray/watch/__pycache__/backend.cpython-311.pyc",
        "src/migration_xray/migration_xray.egg-info/PKG-INFO",
        "work/00_start_here.ipynb",
        "dist/migration_lab-0.0.1-py3-none-any.whl",
        "dist/migration_xray-0.0.1-py3-none-any.whl",
        "dist/another-1.0-py3-none-any.whl",
    ):
        (root / rubbish).parent.mkdir(parents=True, exist_ok=True)
        (root / rubbish).write_text("rubbish")
    author.build(root)
    return root


@pytest.fixture(scope="session")
def wheels(built) -> dict[str, Path]:
    """Each package's one wheel."""
    return {package: next((built / "dist").glob(f"{package}-*.whl")) for package in author.PROJECTS}


# Building


def test_the_wheels_of_an_earlier_build_are_gone_and_nothing_else(built, wheels):
    """`pip install dist/*.whl` must not find two versions of one package."""
    found = sorted(path.name for path in (built / "dist").iterdir())
    assert found == sorted([*(path.name for path in wheels.values()), "another-1.0-py3-none-any.whl"])


def test_both_paths_and_sizes_are_printed(built, wheels, monkeypatch, capsys):
    monkeypatch.setattr(author, "clone", lambda: built)
    assert author.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [str(wheel.relative_to(built)) for wheel in wheels.values()]
    assert all(re.search(r"  \d+\.\d MB$", line) for line in lines)


def test_a_build_that_fails_is_told_with_hatchlings_words(tmp_path):
    """ "Command … returned non-zero exit status 1" helps nobody."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)  # without its README.md
    with pytest.raises(UserError, match=r"was not built: hatchling failed \(exit status 1\)(?s:.*)  .*README\.md"):
        author.build(tmp_path)


def test_what_only_authors_do_needs_a_clone(wheels, monkeypatch, capsys):
    from migration_lab.author import refresh

    monkeypatch.setattr("migration_lab.paths.CLONE", None)
    for main in (author.main, refresh.main):
        assert main([]) == 1
        assert capsys.readouterr().err.startswith("This works in a clone of Migration Lab only")


# What is in them


def in_wheel(wheel: Path) -> set[str]:
    names = zipfile.ZipFile(wheel).namelist()
    assert len(names) == len(set(names))
    return {name for name in names if ".dist-info/" not in name}


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    """The files of notebooks/ and src/ that git has or would add."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "notebooks", "src"]
    if not shutil.which("git") or not (ROOT / ".git").exists():
        pytest.skip("needs a clone made by git")
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, encoding="utf-8").stdout
    return {name for name in names.split("\0") if name and (ROOT / name).is_file()}


def test_the_course_is_whole_and_nothing_else_is_in_it(wheels, tracked):
    """An exercise without its check.py, or a learner's work on its way to everybody."""
    expected = {name.removeprefix("src/") for name in tracked if name.startswith("src/migration_lab/")}
    expected |= {f"migration_lab/{name}" for name in tracked if name.startswith("notebooks/")}
    wheel = wheels["migration_lab"]
    beside = f"{wheel.name.split('-py3')[0]}.data/data/etc/ipython/ipython_config.py"
    assert in_wheel(wheel) == expected | {"migration_lab/docker-compose.yml", beside}


def test_xray_is_whole_and_nothing_else_is_in_it(wheels, tracked):
    expected = {name.removeprefix("src/") for name in tracked if name.startswith("src/migration_xray/")}
    expected -= {"migration_xray/pyproject.toml"}
    assert in_wheel(wheels["migration_xray"]) == expected | {"migration_xray/LICENSE"}


# X-ray alone


@pytest.fixture(scope="module")
def bare(wheels, tmp_path_factory) -> Environment:
    """An environment with nothing but the x-ray wheel and what it asks for, in the lock's versions."""
    folder = tmp_path_factory.mktemp("bare")
    constraints = folder / "constraints.txt"
    lines = [
        line.rstrip(" \\\n") for line in LOCK.read_text(encoding="utf-8").splitlines() if re.match(r"\w\S*==", line)
    ]
    constraints.write_text("\n".join(lines), encoding="utf-8")
    bare = Environment(folder / "environment", folder)
    bare.make()
    bare.install("-c", constraints, wheels["migration_xray"])
    return bare


def test_xray_brings_what_a_migration_needs_anyway_and_no_more(bare):
    """It goes into the environment of somebody's application: each package that it brings can break that."""
    packages = bare.packages
    needed, following = (
        {"migration-xray"},
        [Requirement("alembic"), Requirement("sqlalchemy"), Requirement("psycopg[binary]")],
    )
    while following:
        need = following.pop()
        if canonicalize_name(need.name) in needed and not need.extras:
            continue
        needed.add(canonicalize_name(need.name))
        for line in packages[canonicalize_name(need.name)].requires or []:
            further = Requirement(line)
            if not further.marker or any(further.marker.evaluate({"extra": extra}) for extra in need.extras | {""}):
                following.append(further)
    assert packages.keys() - {"pip", "setuptools"} == needed
    for absent in ("migration_lab", "matplotlib", "pandas", "IPython"):
        bare.run("python", "-c", f"import {absent}", status=1)


def test_xray_is_small(bare):
    package = bare.path("purelib") / "migration_xray"
    assert sum(path.stat().st_size for path in package.rglob("*") if path.is_file()) < 1_000_000


@pytest.fixture(scope="module")
def plain(bare, running, tmp_path_factory):
    """A project as `alembic init` makes it, and its database: (its folder, the database's URL)."""
    folder = tmp_path_factory.mktemp("plain project")
    name = f"plain_{os.getpid()}"
    startstate.create_database(running, name, "empty")
    url = running.database_url(name).render_as_string(hide_password=False)
    bare.run("alembic", "init", "migrations", cwd=folder)
    configuration = (folder / "alembic.ini").read_text(encoding="utf-8")
    escaped = url.replace("%", "%%")
    configuration, count = re.subn(r"(?m)^sqlalchemy.url = .*$", lambda _: f"sqlalchemy.url = {escaped}", configuration)
    assert count == 1
    (folder / "alembic.ini").write_text(configuration, encoding="utf-8")
    for revision, upgrade, downgrade in (
        ("users", "CREATE TABLE users AS SELECT n AS id FROM generate_series(1, 100) n", "DROP TABLE users"),
        ("key", "ALTER TABLE users ADD PRIMARY KEY (id)", "ALTER TABLE users DROP CONSTRAINT users_pkey"),
        ("city", "ALTER TABLE users ADD COLUMN city text", "ALTER TABLE users DROP COLUMN city"),
    ):
        bare.run("alembic", "revision", "-m", revision, "--rev-id", revision, cwd=folder)
        (file,) = (folder / "migrations" / "versions").glob(f"{revision}_*.py")
        before, middle, after = file.read_text(encoding="utf-8").split("    pass\n")
        text = f"{before}    op.execute({upgrade!r})\n{middle}    op.execute({downgrade!r})\n{after}"
        file.write_text(text, encoding="utf-8")
    yield folder, url
    with running.connect() as session:
        startstate.drop_database(session, name)


def test_xray_at_work_on_a_plain_project(bare, plain):
    """From the first upgrade to the locks of a colleague's session, as its README has it."""
    folder, url = plain
    assert "committed after" in bare.run("migration-xray", "upgrade", "users", cwd=folder)
    report = bare.run("migration-xray", "upgrade", "key", cwd=folder)
    assert "■■■ AccessExclusiveLock on users" in report
    assert "ALTER TABLE users ADD PRIMARY KEY (id)" in report

    printed = bare.run("migration-xray", "--json", "upgrade", "city", cwd=folder)
    data = json.loads(printed[printed.index("{\n") :])
    jsonschema.Draft202012Validator(SCHEMA).validate(data)
    assert data["transactions"][-1]["revisions"] == ["city"]

    traffic = ("--traffic", "users", "downgrade", "-1")
    refusal = bare.run("migration-xray", "--chart", "felt.png", *traffic, cwd=folder, DATABASE_URL=url, status=1)
    assert refusal == (
        "A chart needs matplotlib (No module named 'matplotlib'). Install it with: pip install \"migration-xray[chart]\"\n"
    )
    felt = bare.run("migration-xray", *traffic, cwd=folder, DATABASE_URL=url)
    assert re.search(r"^Longest read stall [\d,]+ ms, longest write stall [\d,]+ ms; errors: 42703 ×\d+", felt, re.M)

    nobody = bare.run("migration-xray", "locks", "--database", url, cwd=folder)
    assert nobody == "Nobody holds a lock on a table here, and nobody waits for one.\n"


# The course without a clone


@pytest.fixture(scope="module")
def installed(wheels, open_folder) -> Environment:
    """An environment with both wheels and the lock's packages, in a path that people really have."""
    elsewhere = open_folder / "elsewhere"
    elsewhere.mkdir()
    installed = Environment(open_folder / "environment", elsewhere)
    installed.make()
    installed.install("--no-deps", "-r", LOCK)
    installed.install("--no-deps", *wheels.values())
    return installed


@pytest.fixture(scope="module")
def home(installed, open_folder):
    """The home of somebody who has just installed it; the variables that name it."""
    folder = open_folder / "home"
    folder.mkdir()
    variables = {"HOME": folder, "USERPROFILE": folder}
    yield variables
    installed.run("lab", "stop", **variables)


@pytest.fixture(scope="module")
def served(installed, home):
    """JupyterLab as `lab start` serves it, with the embedded server."""
    port = free_port()
    process = installed.start("lab", "start", "--no-browser", f"--port={port}", **home)
    try:
        yield Site(address(process))
        end(process)
    finally:
        process.kill()


def files_of(installed: Environment) -> dict[Path, bytes]:
    """What is beside the packages, but for what Python compiles."""
    places = [installed.path("purelib") / name for name in author.PROJECTS]
    files = (path for place in places for path in place.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files if "__pycache__" not in path.parts}


def test_jupyterlab_serves_the_course_from_the_home(installed, home, served):
    """One command, no clone: lesson 00 is there, and its first cell works."""
    assert served.path == "/lab/tree/00_start_here.ipynb"
    assert served.json("/api/contents/00_start_here.ipynb")["type"] == "notebook"
    folder = home["HOME"] / "migration-lab"
    assert (folder / "00_start_here.ipynb").is_file()
    assert sorted(path.name for path in home["HOME"].iterdir() if not path.name.startswith(".")) == ["migration-lab"]
    assert not list(installed.cwd.iterdir()), "it wrote into the folder where it was called"
    said = installed.run("ipython", "-c", "%lesson 00", **home)
    assert "Revision  0003_orders" in said, "a notebook's first cell failed"


def test_its_settings_for_ipython_are_its_own_files(installed):
    """What an uninstall does not know stays, and each later kernel of the environment complains of a missing module."""
    settings = installed.folder / "etc" / "ipython" / "ipython_config.py"
    recorded = installed.packages["migration-lab"].files
    assert settings.is_file() and settings.resolve() in [file.locate().resolve() for file in recorded]


def test_an_exercise_passes_and_progress_knows_it(installed, home):
    before = files_of(installed)
    assert "Revision  0003_orders" in installed.run("lab", "open", "00", **home)
    project = home["HOME"] / "migration-lab" / "projects" / "exercise_first_step"
    installed.run("lab", "open", "first_step", **home)
    assert "Not attempted" in installed.run("lab", "check", "first_step", status=1, **home)
    shutil.copytree(find_exercise("first_step").folder / "solution", project, dirs_exist_ok=True)
    assert "✔ Passed" in installed.run("lab", "check", "first_step", **home)
    assert "✔ first_step: passed" in installed.run("lab", "progress", **home)
    assert files_of(installed) == before, "something was written beside the package"


def test_the_project_to_take_home_is_written(installed, home, tmp_path):
    assert "Written into" in installed.run("lab", "template", tmp_path / "mine", **home)
    assert (tmp_path / "mine" / "alembic.ini").is_file()
    assert (tmp_path / "mine" / "CHECKLIST.md").is_file()


def test_a_folder_of_ones_choice(installed, home, tmp_path):
    """LAB_WORK is what a teacher sets for a class."""
    said = installed.run("lab", "progress", LAB_WORK=tmp_path / "mine", **home)
    assert "00" in said
    assert (tmp_path / "mine" / ".lab").is_dir()


def test_docker_is_asked_with_the_file_that_came_along(installed, home, tmp_path):
    """Its docker-compose.yml stands in the clone's root, and a wheel has no such root."""
    code = "from migration_lab.paths import ROOT; print((ROOT / 'docker-compose.yml').read_text())"
    assert "image: postgres:18" in installed.run("python", "-c", code, **home)


def test_installed_by_somebody_else(installed, ordinary_user, running, served):
    """Once for a whole class, or on a share: a learner may not write there, and needs not."""
    command, user = ordinary_user
    home = user / "of a class"
    home.mkdir()
    shutil.chown(home, "nobody")
    folder = installed.folder
    closed = f'mount --bind "{folder}" "{folder}" && mount -o remount,bind,ro "{folder}" && exec "$@"'
    before = ("unshare", "--mount", "--propagation", "private", "sh", "-c", closed, "sh", *command)
    settings = {"HOME": home, "LAB_POSTGRES": running.url.render_as_string(hide_password=False), "before": before}
    tag = None
    process = installed.start("lab", "start", "--no-browser", f"--port={free_port()}", **settings)
    try:
        site = Site(address(process))
        tag = Workspace(home / "migration-lab").tag
        assert site.json("/api/contents/00_start_here.ipynb")["type"] == "notebook"
        assert "Revision  0003_orders" in installed.run("lab", "open", "00", **settings)
        installed.run("lab", "open", "first_step", **settings)
        project = home / "migration-lab" / "projects" / "exercise_first_step"
        shutil.copytree(find_exercise("first_step").folder / "solution", project, dirs_exist_ok=True)
        assert "✔ Passed" in installed.run("lab", "check", "first_step", **settings)
        end(process)
    finally:
        process.kill()
        process.communicate()
        with running.connect() as session:
            for place in ("lesson_00", "exercise_first_step"):
                startstate.drop_database(session, f"{place}_{tag}")


def test_the_doctor_goes_by_what_the_wheel_needs(installed, home):
    """There is no lock beside it. The last test here: it takes a package away."""
    well = installed.run("lab", "doctor", **home)
    version = installed.packages["migration-lab"].version
    assert re.search(rf"^✔ \d+ packages are those that migration-lab {re.escape(version)} needs$", well, re.M)
    assert "The embedded PostgreSQL 18." in well
    uninstall = (
        [UV, "pip", "uninstall", "--python", installed.python]
        if UV
        else [installed.python, "-m", "pip", "uninstall", "-y"]
    )
    subprocess.run([*uninstall, "squawk-cli"], check=True, capture_output=True, env=environment())
    ill = installed.run("lab", "doctor", status=1, **home)
    wanted = f"migration_xray-{version}-py3-none-any.whl migration_lab-{version}-py3-none-any.whl"
    assert "squawk-cli is missing. Put them back, in the folder with both wheels: " in ill
    assert f'"{installed.python}" -m pip install {wanted}\n' in ill
