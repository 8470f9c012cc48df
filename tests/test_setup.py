"""The way in: scripts/lab.py and scripts/test.py in a fresh clone, and the files that say what to install.

A clone here is a copy of the real scripts with a stub of the package and a lock of two small wheels, so that a set-up
takes seconds. Nothing of it needs a network.
"""

import ast
import base64
import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
# The person's own Python, not the one of .venv that runs these tests.
PYTHON = sys._base_executable
VENV_PYTHON = Path(".venv", "Scripts/python.exe" if os.name == "nt" else "bin/python")
SITE_PACKAGES = Path(".venv", "Lib" if os.name == "nt" else f"lib/{Path(os.__file__).parent.name}", "site-packages")
STUB = """
import json, os, sys
variables = {name: os.environ.get(name) for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PATH")}
print(json.dumps({"module": __file__, "arguments": sys.argv[1:], "prefix": sys.prefix, "folder": os.getcwd(), **variables}))
"""
on_posix = pytest.mark.skipif(os.name == "nt", reason="sends a signal or mounts a disk as POSIX systems do")


# The stage: wheels, clones, and runs of the scripts in them


@functools.cache
def wheel(folder, name, version, files):
    """Write a wheel of these (path, text) pairs; return its line for a lock."""
    info = f"{name}-{version}.dist-info"
    files += (
        (f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"),
        (f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
    )
    record = []
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files:
            archive.writestr(file, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
            record.append(f"{file},sha256={digest},{len(text.encode())}")
        archive.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,", ""]))
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    """A folder with two wheels, and the lock that names them: the real flit_core, and a pytest that only reports."""
    folder = tmp_path_factory.mktemp("wheels")
    flit = importlib.metadata.distribution("flit_core")
    sources = tuple((str(file), file.read_text("utf-8")) for file in flit.files if file.suffix == ".py")
    lock = wheel(folder, "flit_core", flit.version, sources)
    lock += wheel(folder, "pytest", "0.1", (("pytest/__init__.py", ""), ("pytest/__main__.py", STUB)))
    return folder, lock


@pytest.fixture
def clone(tmp_path, wheels):
    """A clone whose path has a space and letters beyond ASCII."""
    return make_clone(tmp_path / "Übung für λ", wheels)


def make_clone(root, wheels):
    shutil.copytree(ROOT / "scripts", root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, root)
    (root / "requirements.lock").write_text(wheels[1])
    package = root / "src" / "migration_lab"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(STUB)
    return root


def variables(wheels, **more):
    """The variables of a person whose pip knows only the wheels."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "PYTHON", "VIRTUAL_"))}
    own = {"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels[0]), "NO_PROXY": "*"}
    return {**plain, **own, **{name: str(value) for name, value in more.items()}}


def start(clone, environment, *arguments, script="lab.py", python=PYTHON, **options):
    """Begin a script of the clone, as a person does."""
    command = [str(python), str(clone / "scripts" / script), *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    return subprocess.Popen(command, env=environment, **pipes, **options)


def run(clone, environment, *arguments, **options):
    """Run a script of the clone to its end."""
    with start(clone, environment, *arguments, **options) as process:
        out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def handed_over(done):
    """What the stub says that it was handed."""
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def fault(done):
    """The one sentence of a script that stopped."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert len(done.stderr.splitlines()) == 1, f"one line was expected on stderr, not\n{done.stderr}"
    return done.stderr


def customized(folder, code):
    """A PYTHONPATH by which the person's Python runs this code at its start: for what cannot be had otherwise."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    return folder


# A first start, and those after it


@pytest.fixture(scope="module")
def settled(tmp_path_factory, wheels):
    """A clone after two first starts at once, by a person whose variables point everywhere else; and what they said."""
    clone = make_clone(tmp_path_factory.mktemp("home") / "Übung für λ", wheels)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in ("migration_lab", "pip", "flit_core", "environment"):
        (elsewhere / f"{name}.py").write_text("raise SystemExit('taken from PYTHONPATH')")
    (elsewhere / "pip.conf").write_text("[install]\nuser = true\n[global]\nrequire-virtualenv = true\n")
    hostile = {
        **{"PYTHONPATH": elsewhere, "PYTHONHOME": sys.base_prefix, "PYTHONSAFEPATH": 1, "PYTHONWARNINGS": "error"},
        **{"VIRTUAL_ENV": elsewhere, "PIP_TARGET": elsewhere, "PIP_PREFIX": elsewhere, "PIP_USER": 1},
        **{"PIP_REQUIRE_VIRTUALENV": 1, "PIP_DRY_RUN": 1, "PIP_CONFIG_FILE": elsewhere / "pip.conf"},
    }
    environment = variables(wheels, **hostile)
    first = start(clone, environment, "--port", "8889", "a b")
    assert first.stdout.readline().startswith("Setting up"), first.communicate()
    second = run(clone, environment, script="test.py")
    out, err = first.communicate(timeout=60)
    first = subprocess.CompletedProcess(first.args, first.returncode, out, err)
    return clone, elsewhere, first, second


def test_first_start_hands_over_in_its_own_environment(settled):
    """Variables made for other Pythons led pip or the lab elsewhere: then the lab runs on packages nobody tested."""
    clone, elsewhere, first, _ = settled
    lab = handed_over(first)
    assert lab["arguments"] == ["start", "--port", "8889", "a b"]
    assert Path(lab["module"]) == clone / "src" / "migration_lab" / "__main__.py"
    assert Path(lab["prefix"]) == Path(lab["VIRTUAL_ENV"]) == clone / ".venv"
    assert Path(lab["PATH"].split(os.pathsep)[0]) == (clone / VENV_PYTHON).parent, "`alembic` would be another one"
    assert lab["PYTHONPATH"] is lab["PYTHONHOME"] is None
    assert len(list(elsewhere.iterdir())) <= 6, "pip installed outside .venv"


def test_two_at_once_take_turns(settled):
    """Two starts at once (a double click, lab.py and test.py) wrote into one .venv and left it broken."""
    *_, second = settled
    assert "waiting" in second.stdout, "the second start does not say why nothing happens"
    assert "Making .venv" not in second.stdout, "the second start threw away what the first had made"
    assert handed_over(second)["arguments"] == ["-n", "auto"]


def test_later_starts_do_nothing_again(settled, wheels):
    """Every start pays for the check that nothing is to be done: it may run no process and must stay unnoticed."""
    clone = settled[0]
    code = (
        "import sys, time, environment\n"
        "def guard(event, _): assert event not in ('subprocess.Popen', 'os.posix_spawn'), 'a process was started'\n"
        "sys.addaudithook(guard)\n"
        "began = time.perf_counter(); environment.set_up(); print(time.perf_counter() - began)"
    )
    here = variables(wheels, PYTHONPATH=clone / "scripts")
    done = subprocess.run([PYTHON, "-c", code], env=here, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 0.05
    assert len(run(clone, variables(wheels)).stdout.splitlines()) == 1, "a later start talks of setting up"


@pytest.mark.parametrize("given", [["-n0", "-k", "x"], ["-n", "3"], ["--numprocesses=2"]])
def test_test_script_respects_a_number_of_workers(settled, wheels, given, tmp_path):
    """A second -n would override the person's own; and pytest finds the tests only from the clone's root."""
    done = handed_over(run(settled[0], variables(wheels), *given, script="test.py", cwd=tmp_path))
    assert done["arguments"] == given
    assert Path(done["folder"]) == settled[0]


def test_changed_pyproject_installs_only_this_package(settled, wheels):
    """A new command of this package must be there after `git pull`, but not at the price of a whole set-up."""
    clone = settled[0]
    pyproject = clone / "pyproject.toml"
    pyproject.write_text(pyproject.read_text("utf-8").replace("[project.scripts]", '[project.scripts]\nnew = "x:y"'))
    done = run(clone, variables(wheels))
    assert handed_over(done)["prefix"] == str(clone / ".venv")
    assert "Making .venv" not in done.stdout
    assert list((clone / VENV_PYTHON).parent.glob("new*")), "the new command is not in .venv"


# What the last start, or someone else, left behind


def remove_python(clone):
    (clone / VENV_PYTHON).unlink()


def dangling_python(clone):
    remove_python(clone)
    (clone / VENV_PYTHON).symlink_to(clone / "no longer here")


def remove_pip(clone):
    (clone / SITE_PACKAGES / "pip").rmdir()


def remove_stamp(clone):
    (clone / ".venv" / "finished").unlink()


def spoil_stamp(clone):
    (clone / ".venv" / "finished").write_text("")


def put_a_file_in_its_place(clone):
    shutil.rmtree(clone / ".venv")
    (clone / ".venv").write_text("PATH=…", "utf-8")


def point_it_elsewhere(clone):
    (clone / ".venv").rename(clone / "elsewhere")
    (clone / ".venv").symlink_to(clone / "elsewhere", target_is_directory=True)
    remove_stamp(clone)


def change_lock(clone):
    with (clone / "requirements.lock").open("a") as lock:
        lock.write("# another")


def rename_clone(clone):
    """Scripts in .venv name its old place, and so does the link to this package."""
    clone.rename(clone.with_name("moved"))
    return clone.with_name("moved")


@pytest.fixture
def seemingly_finished(clone, wheels):
    """A clone with a .venv that a start takes for finished: made in a moment, without packages."""
    finish(clone, wheels)
    return clone


def finish(clone, wheels, code=""):
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", clone / ".venv"], check=True)
    (clone / SITE_PACKAGES / "pip").mkdir()
    shutil.copytree(clone / "src" / "migration_lab", clone / SITE_PACKAGES / "migration_lab")
    code += "\nimport environment; environment.write_stamp(environment.wanted())"
    subprocess.run([PYTHON, "-c", code], env=variables(wheels, PYTHONPATH=clone / "scripts"), check=True)


def no_room(tmp_path, after=0, lies=""):
    """A Python that finds little room on every disk."""
    code = "import shutil\nshutil.disk_usage = lambda folder: shutil._ntuple_diskusage(10**9, 10**9 - 10**7, 10**7)"
    return customized(tmp_path / "little", code)


def test_seemingly_finished_venv_is_taken_for_finished(seemingly_finished, wheels):
    """The tests below break this .venv: they show nothing if it were not whole before."""
    done = handed_over(run(seemingly_finished, variables(wheels)))
    assert done["prefix"] == str(seemingly_finished / ".venv")


@pytest.mark.parametrize(
    "damage",
    [
        *(remove_python, remove_pip, remove_stamp, spoil_stamp, put_a_file_in_its_place, change_lock, rename_clone),
        *(pytest.param(damage, marks=on_posix) for damage in (dangling_python, point_it_elsewhere)),
    ],
)
def test_unfit_venv_is_made_anew(seemingly_finished, wheels, tmp_path, damage):
    """A .venv that is not whole, or not of these files, was started all the same or could not be replaced.

    The full disk ends the set-up right after the old .venv is gone, which saves making a new one each time.
    """
    clone = damage(seemingly_finished) or seemingly_finished
    sentence = fault(run(clone, variables(wheels, PYTHONPATH=no_room(tmp_path))))
    assert "has 10 MB free" in sentence
    assert "takes 700 MB" in sentence
    assert not os.path.lexists(clone / ".venv")
    if damage is point_it_elsewhere:
        assert (clone / "elsewhere" / VENV_PYTHON.relative_to(".venv")).exists(), "removed what .venv only pointed to"


def test_venv_of_another_python_is_made_anew(clone, wheels, tmp_path):
    """Packages compiled for another Python fail to import, in ways that a learner cannot read."""
    finish(clone, wheels, "import sys; sys.version = '3.11.0 (main)'" if sys.version_info[2] else "import sys; sys.version = '3.11.9'")
    assert "MB free" in fault(run(clone, variables(wheels, PYTHONPATH=no_room(tmp_path))))


@on_posix
def test_next_start_mends_an_interrupted_one(clone, wheels):
    """Ctrl-C showed a traceback, left pip at work, or left a .venv that later starts took for finished."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        environment = variables(wheels, PIP_INDEX_URL=index, PIP_FIND_LINKS="")
        del environment["PIP_NO_INDEX"]
        silent.settimeout(60)
        with start(clone, environment, start_new_session=True) as process:
            connection, _ = silent.accept()
            os.killpg(process.pid, signal.SIGINT)
            _, err = process.communicate(timeout=10)
        assert process.returncode == 130
        assert err == "\nStopped. The next start sets up what is missing.\n"
        connection.settimeout(5)
        with contextlib.closing(connection):
            while connection.recv(4096):
                pass  # until the other end is closed: pip is gone

    # By the Python of the very .venv that has to go: people activate it.
    done = run(clone, variables(wheels), python=clone / VENV_PYTHON)
    assert handed_over(done)["prefix"] == str(clone / ".venv")


# Faults: one sentence each


@pytest.mark.parametrize("script", ["lab.py", "test.py"])
def test_old_python_is_told_so(clone, wheels, tmp_path, script):
    """An old Python showed a SyntaxError, which does not say what to do."""
    ast.parse((ROOT / "scripts" / script).read_text("utf-8"), feature_version=(3, 6))
    old = customized(tmp_path / "old", "import sys; sys.version_info = (3, 9, 18, 'final', 0)")
    assert fault(run(clone, variables(wheels, PYTHONPATH=old), script=script)) == (
        "This Python is 3.9; Migration Lab needs 3.11 or newer. "
        f"Start it with a newer one, for example: python3.12 scripts/{script}\n"
    )


def test_python_without_venv_is_told_so(clone, wheels, tmp_path):
    """Debian splits ensurepip off; the module venv then fails with words that only a packager knows."""
    bare = customized(tmp_path / "bare", "import sys; sys.modules['ensurepip'] = None")
    sentence = fault(run(clone, variables(wheels, PYTHONPATH=bare)))
    assert f"it has no ensurepip. On Debian and Ubuntu `sudo apt install python3.{sys.version_info[1]}-venv`" in sentence


def test_other_contents_are_not_installed(clone, wheels):
    """A package that is not the one of the lock was installed, or refused without saying which."""
    lock = clone / "requirements.lock"
    lock.write_text(re.sub(r"(?<=pytest==0.1 --hash=sha256:)\w{8}", "0" * 8, lock.read_text()))
    sentence = fault(run(clone, variables(wheels)))
    assert sentence.startswith("pytest==0.1 came with other contents than requirements.lock names")
    assert not (clone / ".venv" / "finished").exists()
    assert not (clone / SITE_PACKAGES / "flit_core").exists(), "installed in part"


@functools.cache
def explain():
    """environment.py's knowledge of faults."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        return __import__("environment").meaning
    finally:
        sys.path.pop(0)


@pytest.mark.parametrize(
    "index, sentence",
    [
        ("http://127.0.0.1:9/simple", "The packages could not be fetched: the package index did not answer."),
        (None, "The package index gave no tiny==1.0 for this Python"),
    ],
)
def test_absent_packages_are_explained(wheels, tmp_path, index, sentence):
    """No network, or no such package: pip says "No matching distribution" for both, which sends people astray."""
    environment = variables(wheels, PIP_RETRIES=1, **({"PIP_INDEX_URL": index} if index else {}))
    if index:
        del environment["PIP_NO_INDEX"]
    pip = [sys.executable, "-m", "pip", "install", "--target", str(tmp_path), "tiny==1.0"]
    done = subprocess.run(pip, env=environment, capture_output=True, text=True)
    assert explain()(done.stdout + done.stderr).startswith(sentence)


def test_disk_that_fills_up_midway_is_told_so(small_disk, wheels, tmp_path):
    """Another program took the room after the check: the set-up ended in a traceback, its log cut off."""
    clone = make_clone(small_disk / "clone", wheels)
    code = (
        "import shutil\ntrue, answers = shutil.disk_usage, [shutil._ntuple_diskusage(10**10, 0, 10**10)] * 2\n"
        "shutil.disk_usage = lambda folder: answers.pop() if answers else true(folder)"
    )
    roomy = customized(tmp_path / "roomy", code)
    assert fault(run(clone, variables(wheels, PYTHONPATH=roomy))).startswith("The disk is full")


@on_posix
def test_read_only_clone_is_told_so(clone, wheels):
    """A clone that someone else owns: the set-up ended in a traceback."""
    if os.geteuid() == 0:
        mounted = subprocess.run(["mount", "--bind", "-o", "ro", clone, clone], capture_output=True)
        if mounted.returncode:
            pytest.skip("needs the right to mount, as permissions do not hold root back")
        undo = functools.partial(subprocess.run, ["umount", clone], check=True)
    else:
        clone.chmod(0o555)
        undo = functools.partial(clone.chmod, 0o755)
    try:
        assert fault(run(clone, variables(wheels))).startswith("The set-up may not write to ")
    finally:
        undo()


# The files that say what to install agree


def locked():
    """Name, version and marker of each line of requirements.lock."""
    for line in (ROOT / "requirements.lock").read_text("utf-8").split("\n"):
        if line[:1].isalnum():
            requirement = Requirement(line.removesuffix("\\"))
            (pin,) = requirement.specifier
            assert pin.operator == "==", line
            yield canonicalize_name(requirement.name), Version(pin.version), requirement.marker


def locked_here():
    """Name and version of the packages that the lock names for this Python and system."""
    return {name: version for name, version, marker in locked() if marker is None or marker.evaluate()}


def direct():
    """What pyproject.toml asks for."""
    return [Requirement(line) for line in PYPROJECT["project"]["dependencies"] + PYPROJECT["dependency-groups"]["test"]]


@pytest.mark.parametrize("requirement", direct(), ids=str)
def test_lock_satisfies_pyproject(requirement):
    """pyproject.toml was changed and the lock was not made again, by the command in its second line."""
    versions = [version for name, version, _ in locked() if name == canonicalize_name(requirement.name)]
    assert versions, "not in requirements.lock"
    assert all(requirement.specifier.contains(version) for version in versions)


def test_lock_is_complete_and_holds_nothing_else():
    """A package missing from the lock fails under hashes; one that nothing needs is installed by everyone for ever."""
    needed, left = set(), [(canonicalize_name(r.name), extra) for r in direct() for extra in {"", *r.extras}]
    while left:
        package = left.pop()
        if package in needed:
            continue
        needed.add(package)
        name, extra = package
        for requirement in map(Requirement, importlib.metadata.requires(name) or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                left += [(canonicalize_name(requirement.name), more) for more in {"", *requirement.extras}]
    assert {name for name, _ in needed} == set(locked_here())


def test_every_locked_package_has_hashes():
    """One package without a hash, and pip would refuse them all."""
    text = (ROOT / "requirements.lock").read_text("utf-8")
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.M)[1:]
    assert len(blocks) == len(list(locked()))
    assert not [block.split()[0] for block in blocks if not re.search(r"--hash=sha256:[0-9a-f]{64}\b", block)]


def test_installed_versions_are_the_locked_ones():
    """Tests that pass with other versions say nothing of what learners get."""
    installed = {name: Version(importlib.metadata.version(name)) for name in locked_here()}
    assert installed == locked_here()


def test_conda_installs_the_same_lock():
    """Binder and conda had other versions, or another Python, than everyone else."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    python, pip, by_pip = environment["dependencies"]
    assert Requirement(python).specifier == SpecifierSet(PYPROJECT["project"]["requires-python"])
    assert (Requirement(python).name, pip, by_pip) == ("python", "pip", {"pip": ["-r requirements.lock"]})


def test_conda_installs_the_package_as_the_scripts_do():
    """postBuild went another way than scripts/environment.py, so Binder had another package, or could not run it."""
    post_build = ROOT / "postBuild"
    assert post_build.read_text("utf-8").splitlines()[-1] == (
        "python -m pip install --no-deps --no-build-isolation -e ."
    )
    assert os.name == "nt" or os.access(post_build, os.X_OK)


def test_one_range_of_pythons_everywhere():
    """A Python was let in by one file and turned away by another."""
    lowest = PYPROJECT["project"]["requires-python"].removeprefix(">=")
    tried = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))["jobs"]["tests"]["strategy"]["matrix"]["python"]
    assert tried == sorted(tried, key=Version)
    assert tried[0] == lowest
    assert f"--python-version {lowest} " in (ROOT / "requirements.lock").read_text("utf-8").splitlines()[1]
    assert f"a 64-bit Python from {tried[0]} to {tried[-1]}" in (ROOT / "scripts/environment.py").read_text("utf-8")
    for script in ("lab.py", "test.py"):
        text = (ROOT / "scripts" / script).read_text("utf-8")
        assert f"sys.version_info < ({lowest.replace('.', ', ')})" in text
        assert f"needs {lowest} or newer" in text
