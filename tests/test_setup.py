"""The way in: scripts/lab.py and scripts/test.py in a fresh clone, and the files that say what to install.

A clone here is a copy of the real scripts with a stub of the package and locks of a few small wheels, so that a set-up
takes seconds. Nothing of it needs a network. uv is the real one.
"""

import ast
import base64
import contextlib
import functools
import hashlib
import http.server
import importlib.metadata
import json
import os
import re
import shutil
import signal
import socket
import ssl
import stat
import subprocess
import sys
import sysconfig
import threading
import time
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pip
import psutil
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
XRAY = tomllib.loads((ROOT / "src" / "migration_xray" / "pyproject.toml").read_text("utf-8"))["project"]
# The person's own Python, not the one of .venv that runs these tests.
PYTHON = sys._base_executable
VENV_PYTHON = Path(".venv", "Scripts/python.exe" if os.name == "nt" else "bin/python")
SITE_PACKAGES = Path(".venv", "Lib" if os.name == "nt" else f"lib/{Path(os.__file__).parent.name}", "site-packages")
STUB = """
import json, os, sys
wanted = ("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "PATH", "LAB_POSTGRES")
variables = {name: os.environ.get(name) for name in wanted}
print(json.dumps({"module": __file__, "arguments": sys.argv[1:], "prefix": sys.prefix, "folder": os.getcwd(), **variables}))
"""
on_posix = pytest.mark.skipif(os.name == "nt", reason="sends a signal or mounts a disk as POSIX systems do")


# The stage: wheels, clones, and runs of the scripts in them


def wheel(folder, name, version, files):
    """Write a wheel of these (path, contents) pairs; return its line for a lock."""
    info = f"{name}-{version}.dist-info"
    files = [
        *files,
        (f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"),
        (f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
    ]
    record = []
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, contents in files:
            contents = contents.encode() if isinstance(contents, str) else contents
            entry = zipfile.ZipInfo(file)
            entry.external_attr = (stat.S_IFREG | (0o755 if "/scripts/" in file else 0o644)) << 16
            archive.writestr(entry, contents)
            digest = base64.urlsafe_b64encode(hashlib.sha256(contents).digest()).decode().rstrip("=")
            record.append(f"{file},sha256={digest},{len(contents)}")
        archive.writestr(f"{info}/RECORD", "\n".join([*record, f"{info}/RECORD,,", ""]))
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def copied(folder, name):
    """Write a wheel of an installed package; return its line for a lock."""
    installed = importlib.metadata.distribution(name)
    files = []
    for file in installed.files:
        if file.suffix == ".pyc" or file.parts[0].endswith(".dist-info"):
            continue
        program = file.parts[0] == ".."
        place = f"{name}-{installed.version}.data/scripts/{file.name}" if program else file.as_posix()
        files.append((place, file.locate().read_bytes()))
    return wheel(folder, name, installed.version, files)


def build_packages():
    """What builds this package: the packages of [build-system], and all that they need."""
    found, left = set(), list(PYPROJECT["build-system"]["requires"])
    while left:
        requirement = Requirement(left.pop())
        name = requirement.name.replace("-", "_")
        if name not in found and (requirement.marker is None or requirement.marker.evaluate({"extra": ""})):
            found.add(name)
            left += importlib.metadata.requires(name) or []
    return sorted(found)


@dataclass(frozen=True)
class Wheels:
    """A folder with wheels, and locks that name them."""

    folder: Path
    uv: str  # the real one
    learner: str  # what really builds the package
    tests: str  # and a pytest that only reports


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    uv = copied(folder, "uv")
    learner = "".join(copied(folder, name) for name in build_packages())
    pytest = wheel(folder, "pytest", "0.1", [("pytest/__init__.py", ""), ("pytest/__main__.py", STUB)])
    return Wheels(folder, uv, learner, learner + pytest)


@pytest.fixture
def clone(tmp_path, wheels):
    """A clone whose path has a space and letters beyond ASCII."""
    return make_clone(tmp_path / "Übung für λ", wheels)


def make_clone(root, wheels):
    shutil.copytree(ROOT / "scripts", root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "docker-compose.yml"):
        shutil.copy(ROOT / name, root)
    shutil.copytree(ROOT / "etc", root / "etc")
    (root / "scripts" / "requirements.lock").write_text(wheels.uv)
    (root / "requirements.lock").write_text(wheels.learner)
    (root / "tests").mkdir()
    (root / "tests" / "requirements.lock").write_text(wheels.tests)
    xray = root / "src" / "migration_xray"
    xray.mkdir(parents=True)
    shutil.copy(ROOT / "src" / "migration_xray" / "pyproject.toml", xray)
    for name in ("README.md", "__init__.py"):
        (xray / name).touch()
    package = root / "src" / "migration_lab"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(STUB)
    return root


def variables(wheels, **more):
    """The variables of a person whose pip knows only the wheels; None takes one away."""
    others = ("PIP_", "UV_", "PYTHON", "VIRTUAL_")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    own = {
        **{"PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(wheels.folder), "NO_PROXY": "*"},
        **{"UV_CACHE_DIR": str(wheels.folder / "cache"), "PIP_NO_CACHE_DIR": "0"},
    }
    return {name: str(value) for name, value in (plain | own | more).items() if value is not None}


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
    for name in ("migration_lab", "migration_xray", "pip", "hatchling", "environment", "settings", "places"):
        (elsewhere / f"{name}.py").write_text("raise SystemExit('taken from PYTHONPATH')")
    (elsewhere / "pip.conf").write_text("[install]\nuser = true\n[global]\nrequire-virtualenv = true\n")
    (elsewhere / "uv.toml").write_text("no-index = true\n[pip]\ntarget = '.'\n")
    hostile = {
        **{"PYTHONPATH": elsewhere, "PYTHONHOME": sys.base_prefix, "PYTHONSAFEPATH": 1, "PYTHONWARNINGS": "error"},
        "PYTHONDONTWRITEBYTECODE": 1,
        **{"VIRTUAL_ENV": elsewhere, "PIP_TARGET": elsewhere, "PIP_PREFIX": elsewhere, "PIP_USER": 1},
        **{"PIP_REQUIRE_VIRTUALENV": 1, "PIP_DRY_RUN": 1, "PIP_CONFIG_FILE": elsewhere / "pip.conf"},
        **{"UV_PYTHON": "3.99", "UV_SYSTEM_PYTHON": 1, "UV_REQUIRE_HASHES": 1, "UV_EXCLUDE_NEWER": "2001-01-01"},
        **{"UV_CONFIG_FILE": elsewhere / "uv.toml", "UV_OFFLINE": 1, "UV_PROJECT_ENVIRONMENT": elsewhere},
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
    assert len(list(elsewhere.iterdir())) <= 9, "pip or uv installed outside .venv"


def test_packages_are_compiled_once(settled):
    """uv leaves that to the first import; where none may keep it, each kernel and each `alembic` took a second longer."""
    assert handed_over(settled[2])["PYTHONDONTWRITEBYTECODE"] is None


def test_uv_installs(settled):
    """pip took 42 s for what uv does in 7."""
    for done in settled[2:]:
        assert "pip" not in done.stdout.partition("{")[0], done.stdout


def test_learner_is_spared_what_only_tests_need(settled):
    """Playwright alone is 165 MB, and no lesson imports it."""
    clone, _, first, second = settled
    assert "that requirements.lock names" in first.stdout
    assert "that tests/requirements.lock names" in second.stdout
    assert "Adding to .venv what only the tests need" in second.stdout
    assert (clone / SITE_PACKAGES / "pytest").is_dir()


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


SECRET = "postgresql://me:secret@host/postgres"


@pytest.mark.parametrize("spelling", [["--postgres", SECRET], [f"--postgres={SECRET}"]])
def test_a_password_is_not_handed_over_as_an_argument(settled, wheels, spelling):
    """`ps` shows the arguments of each process to every user of the machine, for as long as JupyterLab runs."""
    lab = handed_over(run(settled[0], variables(wheels), "--port", "8889", *spelling, "a b"))
    assert lab["arguments"] == ["start", "--port", "8889", "a b"]
    assert lab["LAB_POSTGRES"] == SECRET


@on_posix
def test_a_password_is_not_shown_while_setting_up(clone, wheels):
    """A first set-up takes a minute or more."""
    with start(clone, variables(wheels), "--postgres", SECRET, "--no-browser") as process:
        assert process.stdout.readline().startswith("Setting up")
        this = psutil.Process(process.pid)
        shown = [argument for each in (this, *this.children(recursive=True)) for argument in each.cmdline()]
        assert str(clone / "scripts" / "lab.py") in shown and "--no-browser" in shown
        assert SECRET not in shown
        assert handed_over(subprocess.CompletedProcess([], process.wait(60), *process.communicate()))


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


def finish(clone, wheels, code="", parts=("learner", "tests", "own")):
    subprocess.run([PYTHON, "-m", "venv", "--without-pip", clone / ".venv"], check=True)
    (clone / SITE_PACKAGES / "pip").mkdir()
    shutil.copytree(clone / "src" / "migration_lab", clone / SITE_PACKAGES / "migration_lab")
    code += "\nimport environment; wanted = environment.wanted()"
    code += f"\nenvironment.write_stamp({{part: wanted[part] for part in {parts!r}}})"
    subprocess.run([PYTHON, "-c", code], env=variables(wheels, PYTHONPATH=clone / "scripts"), check=True)


@pytest.fixture
def learners(clone, wheels):
    """A learner's clone, where scripts/test.py has yet to add what tests need: set up in a moment, with pip and uv."""
    return make_learners(clone, wheels)


def make_learners(clone, wheels):
    finish(clone, wheels, parts=("learner", "own"))
    # pip is the one of the .venv that runs these tests, and so is uv.
    (clone / SITE_PACKAGES / "pip").rmdir()
    place(Path(pip.__file__).parent, clone / SITE_PACKAGES / "pip")
    uv = importlib.metadata.distribution("uv")
    (clone / SITE_PACKAGES / f"uv-{uv.version}.dist-info").mkdir()
    program = Path(sysconfig.get_path("scripts"), "uv.exe" if os.name == "nt" else "uv")
    place(program, (clone / VENV_PYTHON).with_name(program.name))
    return clone


def place(what, where):
    """A link where anybody may make one, and a copy on Windows."""
    if os.name == "nt":
        (shutil.copytree if what.is_dir() else shutil.copy)(what, where)
    else:
        where.symlink_to(what)


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
    assert "takes 600 MB" in sentence
    assert not os.path.lexists(clone / ".venv")
    if damage is point_it_elsewhere:
        assert (clone / "elsewhere" / VENV_PYTHON.relative_to(".venv")).exists(), "removed what .venv only pointed to"


def test_venv_of_another_python_is_made_anew(clone, wheels, tmp_path):
    """Packages compiled for another Python fail to import, in ways that a learner cannot read."""
    finish(
        clone,
        wheels,
        "import sys; sys.version = '3.11.0 (main)'" if sys.version_info[2] else "import sys; sys.version = '3.11.9'",
    )
    assert "MB free" in fault(run(clone, variables(wheels, PYTHONPATH=no_room(tmp_path))))


@on_posix
def test_next_start_mends_an_interrupted_one(learners, wheels):
    """Ctrl-C showed a traceback, left uv or pip at work, or left a .venv that later starts took for finished."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/simple"
        environment = variables(wheels, PIP_INDEX_URL=index, PIP_FIND_LINKS=None, PIP_NO_INDEX=None)
        silent.settimeout(60)
        with start(learners, environment, script="test.py", start_new_session=True) as process:
            connection, _ = silent.accept()
            os.killpg(process.pid, signal.SIGINT)
            _, err = process.communicate(timeout=10)
        assert process.returncode == 130
        assert err == "\nStopped. The next start sets up what is missing.\n"
        connection.settimeout(5)
        with contextlib.closing(connection), contextlib.suppress(ConnectionResetError):
            while connection.recv(4096):
                pass  # until the other end is closed: uv is gone

    done = run(learners, variables(wheels), script="test.py")
    assert "Adding to .venv what only the tests need" in done.stdout
    assert handed_over(done)["prefix"] == str(learners / ".venv")


def test_what_has_not_been_added_is_not_taken_for_there(learners, wheels):
    """The stamp of a learner's set-up counted for the tests too, which then had no pytest."""
    assert len(run(learners, variables(wheels)).stdout.splitlines()) == 1, "a learner's start talks of setting up"
    assert handed_over(run(learners, variables(wheels), script="test.py"))["arguments"] == ["-n", "auto"]
    for script in ("lab.py", "test.py"):
        assert len(run(learners, variables(wheels), script=script).stdout.splitlines()) == 1, (
            "something was installed again"
        )


def test_changed_lock_of_the_tests_leaves_a_learner_alone(settled, wheels):
    """A new linter is no reason to install anything for somebody who only learns."""
    clone = settled[0]
    lock = clone / "tests" / "requirements.lock"
    lock.write_text(lock.read_text() + "# another\n")
    assert len(run(clone, variables(wheels)).stdout.splitlines()) == 1
    assert "Adding" in run(clone, variables(wheels), script="test.py").stdout


# By uv, from where pip's settings say


def only(folder, name, wheels):
    """Make an index that has one package only; return its address as a folder."""
    package = folder / name
    package.mkdir(parents=True)
    (file,) = wheels.folder.glob(f"{name}-*.whl")
    shutil.copy(file, package)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    (package / "index.html").write_text(f'<a href="{file.name}#sha256={digest}">{file.name}</a>')
    return folder.as_uri()


@pytest.mark.parametrize(
    ("section", "settings"),
    [
        ("a variable", {"index-url": "{has}"}),
        ("global", {"index-url": "{lacks}", "extra-index-url": "{lacks} {has}"}),
        ("install", {"find-links": "/no/such {wheels}", "no-index": "true"}),
    ],
)
def test_uv_fetches_from_where_pip_is_told_to(learners, wheels, tmp_path, settings, section):
    """uv reads none of pip's settings: at a company it asked an index that nobody there can reach."""
    build = build_packages()[0]
    places = {"has": only(tmp_path / "has", "pytest", wheels), "lacks": only(tmp_path / "lacks", build, wheels)}
    settings = {name: value.format(**places, wheels=wheels.folder) for name, value in settings.items()}
    by_variable = {f"PIP_{name.upper().replace('-', '_')}": value for name, value in settings.items()}
    file = tmp_path / "pip.conf"
    file.write_text(f"[{section}]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
    own = by_variable if section == "a variable" else {"PIP_CONFIG_FILE": file}
    (learners / "tests" / "requirements.lock").write_text(wheels.tests.splitlines()[-1] + "\n")
    done = run(learners, variables(wheels, **({"PIP_NO_INDEX": None, "PIP_FIND_LINKS": None} | own)), script="test.py")
    assert handed_over(done)["arguments"] == ["-n", "auto"]
    assert "pip" not in done.stdout.partition("{")[0], done.stdout


@contextlib.contextmanager
def served(folder, context=None, before=lambda handler: None):
    """A server on this machine that has the files of a folder, by the path alone; and what it was asked for."""
    asked = []

    class Files(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.path = re.sub("^http://[^/]+", "", self.path)  # that is how a proxy is asked
            before(self)
            super().do_GET()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=folder)) as server:
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()


def add_pytest_from(clone, wheels, **settings):
    """Run scripts/test.py where only pytest is missing and the settings say where from; None takes a setting away."""
    (clone / "tests" / "requirements.lock").write_text(wheels.tests.splitlines()[-1] + "\n")
    return run(
        clone, variables(wheels, **({"PIP_NO_INDEX": None, "PIP_FIND_LINKS": None} | settings)), script="test.py"
    )


def test_uv_goes_by_the_proxy_that_pip_is_told(learners, wheels, tmp_path):
    """Behind a company's proxy uv reached nothing, although pip's settings name the proxy."""
    only(tmp_path / "index", "pytest", wheels)
    with served(tmp_path / "index") as (proxy, asked):
        settings = {
            "PIP_PROXY": f"http://{proxy}",
            "PIP_INDEX_URL": "http://packages.invalid/",
            "PIP_TRUSTED_HOST": "packages.invalid",
        }
        done = add_pytest_from(learners, wheels, **settings)
    assert handed_over(done)["arguments"] == ["-n", "auto"]
    assert asked[0] == "http://packages.invalid/pytest/"
    assert "pip" not in done.stdout.partition("{")[0], done.stdout


@pytest.mark.parametrize("setting", ["PIP_CERT", "REQUESTS_CA_BUNDLE", "PIP_TRUSTED_HOST", None])
def test_uv_trusts_the_certificates_that_pip_trusts(learners, wheels, tmp_path, setting):
    """A company's own index, or a proxy that looks inside, has a certificate that only the company knows."""
    openssl = shutil.which("openssl") or pytest.skip("needs openssl, to make a certificate")
    pem = tmp_path / "own.pem"
    request = [
        openssl,
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        pem,
        "-out",
        tmp_path / "certificate",
    ]
    names = [
        "-subj",
        "/CN=127.0.0.1",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]
    subprocess.run([*request, *names], check=True, capture_output=True)
    pem.write_text(pem.read_text() + (tmp_path / "certificate").read_text())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    only(tmp_path / "index", "pytest", wheels)
    unset = dict.fromkeys(("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"))
    with served(tmp_path / "index", context) as (host, _):
        trust = {setting: host if setting == "PIP_TRUSTED_HOST" else tmp_path / "certificate"} if setting else {}
        done = add_pytest_from(learners, wheels, PIP_INDEX_URL=f"https://{host}/", PIP_RETRIES=0, **(unset | trust))
    if setting:
        assert handed_over(done)["arguments"] == ["-n", "auto"]
        assert "pip" not in done.stdout.partition("{")[0], done.stdout
    else:
        assert fault(done).startswith("The package index showed a certificate that this Python does not trust")


def test_downloads_are_kept_where_pip_is_told_or_not_at_all(learners, wheels, tmp_path):
    """People with little room in their home tell pip so, and the set-up filled it all the same."""
    home = {"HOME": tmp_path / "home", "XDG_CACHE_HOME": None, "LOCALAPPDATA": tmp_path / "home", "UV_CACHE_DIR": None}
    find = {"PIP_NO_INDEX": 1, "PIP_FIND_LINKS": wheels.folder}
    assert handed_over(add_pytest_from(learners, wheels, **home, **find, PIP_NO_CACHE_DIR=1))
    shutil.rmtree(learners / SITE_PACKAGES / "pytest")
    shutil.rmtree(learners / SITE_PACKAGES / "pytest-0.1.dist-info")
    (learners / ".venv" / "finished").write_text(
        (learners / ".venv" / "finished").read_text().replace("tests", "other")
    )
    kept = {"PIP_CACHE_DIR": tmp_path / "kept", "PIP_NO_CACHE_DIR": None}
    assert handed_over(add_pytest_from(learners, wheels, **home, **find, **kept))
    assert not list((tmp_path / "home").rglob("*uv*")), "something is kept in the home"
    assert (tmp_path / "kept" / "uv").is_dir()
    assert not (learners / ".venv" / "cache").exists(), "what was kept for the set-up only is still there"


# Where uv cannot do it


def not_served(clone):
    """An index without uv, and with everything else."""
    (clone / "scripts" / "requirements.lock").write_text("uv==0.0.1 --hash=sha256:" + "0" * 64)
    return r"uv cannot be had here \(No matching distribution found for uv==0.0.1\)"


def not_running(clone):
    """uv for another kind of machine."""
    program = (clone / VENV_PYTHON).with_name("uv.exe" if os.name == "nt" else "uv")
    program.unlink()
    program.write_bytes(b"\x7fELF of another machine")
    program.chmod(0o755)
    return r"uv does not run here \(.*rror.*\)"


def failing(clone):
    program = (clone / VENV_PYTHON).with_name("uv")
    program.unlink()
    program.write_text("#!/bin/sh\necho 'version `GLIBC_9.9` not found' >&2\nexit 1\n")
    program.chmod(0o755)
    return r"uv cannot be had here \(version `GLIBC_9.9` not found\)"


@pytest.mark.parametrize(
    "damage", [not_served, pytest.param(not_running, marks=on_posix), pytest.param(failing, marks=on_posix)]
)
def test_pip_installs_where_uv_cannot_be_had(learners, wheels, damage):
    """A platform or an index without uv had no way in any more."""
    sentence = damage(learners)
    done = run(learners, variables(wheels), script="test.py")
    assert handed_over(done)["arguments"] == ["-n", "auto"]
    (line,) = re.findall("^uv .*", done.stdout, re.M)
    assert re.fullmatch(sentence + "; pip installs instead, which takes longer.", line)


def test_pip_has_the_last_word(learners, wheels, tmp_path):
    """uv takes the first index that has a version; pip looks on for the contents that the lock names.

    Such an index is piwheels, which every Raspberry Pi has in its settings: it builds each package anew.
    """
    other = tmp_path / "other"
    other.mkdir()
    wheel(other, "pytest", "0.1", [("pytest/__init__.py", "print('another')")])
    rebuilt = only(tmp_path / "rebuilt", "pytest", Wheels(other, "", "", ""))
    settings = {"PIP_INDEX_URL": only(tmp_path / "index", "pytest", wheels), "PIP_EXTRA_INDEX_URL": rebuilt}
    done = add_pytest_from(learners, wheels, **settings)
    assert handed_over(done)["arguments"] == ["-n", "auto"]
    assert (
        "uv could not do that (Hash mismatch for `pytest==0.1`); pip does it instead, which takes longer."
        in done.stdout
    )


# What is shown meanwhile


@on_posix
@pytest.mark.parametrize("terminal", [True, False])
def test_a_slow_download_is_shown_while_it_goes_on(learners, wheels, tmp_path, terminal):
    """A hundred silent seconds on a slow line look like a hang; in a log there is no live line to look at."""
    lock = wheel(
        tmp_path,
        "pytest",
        "0.1",
        [("pytest/__init__.py", ""), ("pytest/__main__.py", STUB), ("more", os.urandom(3 << 20))],
    )
    only(tmp_path / "index", "pytest", Wheels(tmp_path, "", "", ""))
    steps = learners / "scripts" / "steps.py"
    steps.write_text(steps.read_text("utf-8").replace("SECONDS_BETWEEN_LINES = 5", "SECONDS_BETWEEN_LINES = 0.3"))

    def slow(handler):
        if handler.path.endswith(".whl"):
            time.sleep(1)

    reading, writing = os.openpty() if terminal else os.pipe()
    with served(tmp_path / "index", before=slow) as (host, _):
        (learners / "tests" / "requirements.lock").write_text(lock)
        environment = variables(wheels, PIP_INDEX_URL=f"http://{host}/", PIP_NO_INDEX=None, PIP_FIND_LINKS=None)
        command = [PYTHON, learners / "scripts" / "test.py"]
        with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=writing) as process:
            os.close(writing)
            shown = b""
            with contextlib.suppress(OSError):  # a terminal ends in one
                while more := os.read(reading, 4096):
                    shown += more
        os.close(reading)
    assert process.returncode == 0
    line = r"  fetching 1 packages?(: 0 of 3 MB)? \(\d s\)"
    assert re.search(rf"\r{line} +\r" if terminal else rf"(?m)^{line}$", shown.decode()), shown.decode()


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
    assert (
        f"it has no ensurepip. On Debian and Ubuntu `sudo apt install python3.{sys.version_info[1]}-venv`" in sentence
    )


@pytest.mark.parametrize("package", ["uv", "pytest"])
def test_other_contents_are_not_installed(learners, wheels, package):
    """A package that is not the one of the lock was installed, or refused without saying which."""
    lock = learners / ("scripts" if package == "uv" else "tests") / "requirements.lock"
    lock.write_text(re.sub(rf"({package}==\S+ --hash=sha256:)\w{{8}}", rf"\g<1>{'0' * 8}", lock.read_text()))
    for info in (learners / SITE_PACKAGES).glob("uv-*.dist-info"):
        info.rmdir() if package == "uv" else None
    sentence = fault(run(learners, variables(wheels), script="test.py"))
    assert re.match(rf"{package}==\S+ came with other contents than requirements.lock names", sentence)
    assert "tests" not in (learners / ".venv" / "finished").read_text()
    assert not list((learners / SITE_PACKAGES).glob("hatchling*")), "installed in part"


def test_package_that_cannot_be_compiled_is_told_so(learners, wheels, tmp_path):
    """A Python for which a package has no wheel: a compiler's pages, of which the last line says nothing."""
    source = tmp_path / "pytest-0.1"
    source.mkdir()
    (source / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: pytest\nVersion: 0.1\n")
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "make"\nbackend-path = ["."]'
    )
    (source / "make.py").write_text("def build_wheel(*_): raise SystemExit('no compiler')")
    archive = shutil.make_archive(str(source), "gztar", tmp_path, source.name)
    digest = hashlib.sha256(Path(archive).read_bytes()).hexdigest()
    (learners / "tests" / "requirements.lock").write_text(f"pytest==0.1 --hash=sha256:{digest}\n")
    done = run(learners, variables(wheels, PIP_FIND_LINKS=tmp_path), script="test.py")
    assert fault(done).startswith("One of the packages is not ready-made for this Python")
    assert "pip" not in done.stdout, "pip compiles no better"


@functools.cache
def explain():
    """environment.py's knowledge of faults."""
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        return __import__("faults").known
    finally:
        sys.path.pop(0)


def test_absent_package_is_explained(wheels, tmp_path):
    """An index that lacks a package, or has it for other Pythons only: the sentence names it and this Python."""
    command = [sys.executable, "-m", "pip", "install", "--target", str(tmp_path), "tiny==1.0"]
    done = subprocess.run(command, env=variables(wheels), capture_output=True, text=True)
    assert str(explain()(done.stdout + done.stderr)).startswith("The package index gave no tiny==1.0 for this Python")


def test_network_that_goes_away_is_told_so(learners, wheels):
    """No network: pip says "No matching distribution", as for a package that is absent, which sends people astray."""
    done = add_pytest_from(learners, wheels, PIP_INDEX_URL="http://127.0.0.1:9/simple", PIP_RETRIES=1)
    assert fault(done).startswith("The packages could not be fetched: the package index did not answer.")
    assert "uv could not do that (Connection refused" in done.stdout or os.name == "nt"


@pytest.mark.parametrize("by", ["Python", "uv"])
def test_disk_that_fills_up_midway_is_told_so(small_disk, wheels, tmp_path, by):
    """Another program took the room after the check: the set-up ended in a traceback, its log cut off.

    Python's own set-up is run by the Python of the very .venv that has to go: people activate it.
    """
    clone = make_clone(small_disk / "clone", wheels)
    find = tmp_path / "find"
    find.mkdir()
    if by == "uv":
        make_learners(clone, wheels)
        lock = wheel(find, "pytest", "0.1", [("pytest/__init__.py", os.urandom(8 << 20))])
        (clone / "tests" / "requirements.lock").write_text(lock)
    else:
        subprocess.run([PYTHON, "-m", "venv", "--without-pip", clone / ".venv"], check=True)
    code = (
        "import shutil\ntrue, answers = shutil.disk_usage, [shutil._ntuple_diskusage(10**10, 0, 10**10)]\n"
        "shutil.disk_usage = lambda folder: answers.pop() if answers else true(folder)"
    )
    settings = {"PYTHONPATH": customized(tmp_path / "roomy", code), "PIP_FIND_LINKS": find}
    how = {"script": "test.py"} if by == "uv" else {"python": clone / VENV_PYTHON}
    done = run(clone, variables(wheels, **settings), **how)
    assert fault(done).startswith("The disk is full: setting up takes about 800 MB")
    assert "pip" not in done.stdout, "pip needs no less room"


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

LEARNERS_LOCK, TESTS_LOCK, UV_LOCK = (ROOT / folder / "requirements.lock" for folder in ("", "tests", "scripts"))
LOCKS = {"learner": LEARNERS_LOCK, "tests": TESTS_LOCK, "uv": UV_LOCK}


def locked(lock):
    """Name, version and marker of each line of a lock."""
    for line in lock.read_text("utf-8").split("\n"):
        if line[:1].isalnum():
            requirement = Requirement(line.removesuffix("\\"))
            (pin,) = requirement.specifier
            assert pin.operator == "==", line
            yield canonicalize_name(requirement.name), Version(pin.version), requirement.marker


def locked_here(lock):
    """Name and version of the packages that a lock names for this Python and system."""
    return {name: version for name, version, marker in locked(lock) if marker is None or marker.evaluate()}


def group(name):
    """What a dependency group of pyproject.toml asks for, with the groups that it includes."""
    for line in PYPROJECT["dependency-groups"][name]:
        if isinstance(line, dict):
            yield from group(line["include-group"])
        else:
            yield Requirement(line)


def direct(lock):
    """What the two pyproject.toml ask for in a lock: migration-lab takes migration-xray with its chart, from this clone."""
    if lock == "uv":
        return list(group("setup"))
    lines = PYPROJECT["project"]["dependencies"] + XRAY["dependencies"] + XRAY["optional-dependencies"]["chart"]
    dependencies = [one for line in lines if (one := Requirement(line)).name != XRAY["name"]]
    return [*dependencies, *group("test" if lock == "tests" else "build")]


def test_the_lab_takes_the_xray_of_this_clone():
    """Another version of it, or one without its charts, is not what the lock was made for."""
    (line,) = (line for line in PYPROJECT["project"]["dependencies"] if Requirement(line).name == XRAY["name"])
    assert line == f"{XRAY['name']}[chart]=={XRAY['version']}"


@pytest.mark.parametrize(("lock", "requirement"), [(lock, one) for lock in LOCKS for one in direct(lock)], ids=str)
def test_lock_satisfies_pyproject(lock, requirement):
    """pyproject.toml was changed and the lock was not made again, by the command in its second line."""
    versions = [version for name, version, _ in locked(LOCKS[lock]) if name == canonicalize_name(requirement.name)]
    assert versions, "not in requirements.lock"
    assert all(requirement.specifier.contains(version) for version in versions)


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_is_complete_and_holds_nothing_else(lock):
    """A package missing from the lock is missing for all; one that nothing needs is installed by everyone for ever."""
    needed, left = set(), [(canonicalize_name(r.name), extra) for r in direct(lock) for extra in {"", *r.extras}]
    while left:
        package = left.pop()
        if package in needed:
            continue
        needed.add(package)
        name, extra = package
        for requirement in map(Requirement, importlib.metadata.requires(name) or []):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                left += [(canonicalize_name(requirement.name), more) for more in {"", *requirement.extras}]
    assert {name for name, _ in needed} == set(locked_here(LOCKS[lock]))


def test_tests_have_what_learners_have():
    """Tests that pass with other versions say nothing of what learners get."""
    theirs = {(name, version, str(marker)) for name, version, marker in locked(TESTS_LOCK)}
    assert {(name, version, str(marker)) for name, version, marker in locked(LEARNERS_LOCK)} <= theirs


def test_learners_lock_has_no_tools_for_tests():
    """Playwright alone is 165 MB; pytest comes for lesson 09, which runs pytest-alembic."""
    names = {name for name, *_ in locked(LEARNERS_LOCK)}
    assert not names & {"playwright", "nbval", "pytest-xdist", "ruff", "mypy", "import-linter", "coverage", "uv"}


@pytest.mark.parametrize("lock", LOCKS)
def test_the_command_that_makes_a_lock_is_in_it(lock):
    """The next author made the lock by another command, and every version moved."""
    command = LOCKS[lock].read_text("utf-8").splitlines()[1]
    assert command.startswith("#    uv pip compile ")
    assert command.endswith(f"--generate-hashes --output-file {LOCKS[lock].relative_to(ROOT).as_posix()}")
    assert (" --constraints requirements.lock " in command) == (lock == "tests")


@pytest.mark.parametrize("lock", LOCKS)
def test_every_locked_package_has_hashes(lock):
    """One package without a hash, and uv and pip would refuse them all."""
    text = LOCKS[lock].read_text("utf-8")
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.M)[1:]
    assert len(blocks) == len(list(locked(LOCKS[lock])))
    assert not [block.split()[0] for block in blocks if not re.search(r"--hash=sha256:[0-9a-f]{64}\b", block)]


@pytest.mark.parametrize("lock", LOCKS)
def test_installed_versions_are_the_locked_ones(lock):
    """Tests that pass with other versions say nothing of what learners get."""
    wanted = locked_here(LOCKS[lock])
    assert {name: Version(importlib.metadata.version(name)) for name in wanted} == wanted


def test_conda_installs_the_same_lock():
    """Binder and conda had other versions, or another Python, than everyone else."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    python, pip, by_pip = environment["dependencies"]
    assert Requirement(python).specifier == SpecifierSet(PYPROJECT["project"]["requires-python"])
    assert (Requirement(python).name, pip, by_pip) == ("python", "pip", {"pip": ["-r requirements.lock"]})


def test_binder_installs_the_same_lock():
    """repo2docker took the Dockerfile: with a folder .binder, it looks for everything there and nowhere else.

    A range of Pythons it does not understand: it took 3.10, which it calls its default.
    https://repo2docker.readthedocs.io/en/latest/configuration/
    """
    binder = ROOT / ".binder"
    environment = yaml.safe_load((binder / "environment.yml").read_text("utf-8"))
    python, *others = environment["dependencies"]
    version = re.fullmatch(r"python=(3\.\d+)", python)[1]
    assert version in SpecifierSet(PYPROJECT["project"]["requires-python"])
    assert others == ["pip", {"pip": ["-r ../requirements.lock"]}]
    assert {file.name for file in binder.iterdir()} == {
        "environment.yml",
        "postBuild",
        "start",
        "jupyter_server_config.json",
    }


def test_conda_installs_the_package_as_the_scripts_do():
    """postBuild went another way than scripts/environment.py, so Binder had another package, or could not run it."""
    command = "python -m pip install --no-deps --no-build-isolation -e src/migration_xray -e ."
    post_build = ROOT / ".binder" / "postBuild"
    assert post_build.read_text("utf-8").splitlines()[-1] == command
    assert command in (ROOT / "environment.yml").read_text("utf-8")
    for script in (post_build, post_build.with_name("start")):
        assert os.name == "nt" or os.access(script, os.X_OK)


def test_one_range_of_pythons_everywhere():
    """A Python was let in by one file and turned away by another."""
    lowest = PYPROJECT["project"]["requires-python"].removeprefix(">=")
    tried = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text("utf-8"))["jobs"]["tests"]["strategy"][
        "matrix"
    ]["python"]
    assert tried == sorted(tried, key=Version)
    assert tried[0] == lowest
    for lock in LOCKS.values():
        assert f"--python-version {lowest} " in lock.read_text("utf-8").splitlines()[1]
    assert f"a 64-bit Python from {tried[0]} to {tried[-1]}" in (ROOT / "scripts/faults.py").read_text("utf-8")
    for script in ("lab.py", "test.py"):
        text = (ROOT / "scripts" / script).read_text("utf-8")
        assert f"sys.version_info < ({lowest.replace('.', ', ')})" in text
        assert f"needs {lowest} or newer" in text
