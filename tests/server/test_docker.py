"""docker-compose.yml and the image, on a real engine: the server, the lab, and what is said when Docker refuses.

LAB_REQUIRE_DOCKER=1 makes the absence of an engine a failure. Project, ports and volumes are the tests' own.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import psycopg
import pytest
from tests.waiting import wait_until

from migration_lab import doctor
from migration_lab.course.manifest import exercises, lessons
from migration_lab.grading import grader as grading
from migration_lab.learner import lesson
from migration_lab.learner.grade import Outcome
from migration_lab.paths import ROOT
from migration_lab.server import compose
from migration_lab.server.embedded import free_port
from migration_lab.server.postgres import as_url, server
from migration_lab.workspace import Workspace
from migration_xray.connection import connect, libpq_url
from migration_xray.errors import UserError

pytestmark = pytest.mark.docker
PROJECT = f"migration-lab-tests-{os.getpid()}"
IMAGES = (f"{PROJECT}-lab", f"{PROJECT}_lab")  # the service's image by Compose v2's name, and by the older one's


def missing():
    """What keeps these tests from running here, or None."""
    if compose.compose_program() is None:
        return "Docker or Compose is not installed"
    engine = subprocess.run(["docker", "info", "--format", "{{.OSType}}"], capture_output=True, text=True)
    if engine.returncode or engine.stdout.strip() != "linux":
        return "no Docker engine for Linux images answers"
    for image in ("postgres:18", "python:3.11-slim"):
        here = subprocess.run(["docker", "image", "inspect", image], capture_output=True)
        if here.returncode and subprocess.run(["docker", "pull", "--quiet", image], capture_output=True).returncode:
            return f"the image {image} is not here and can't be fetched"
    return None


@pytest.fixture(scope="module")
def project():
    """The variables of a Compose project of the tests' own; all that it made is gone at the end."""
    if fault := missing():
        if os.environ.get("LAB_REQUIRE_DOCKER") == "1":
            pytest.fail(f"LAB_REQUIRE_DOCKER is set, and {fault}.")
        pytest.skip(f"{fault}.")
    variables = {
        "COMPOSE_PROJECT_NAME": PROJECT,
        "LAB_POSTGRES_PORT": str(free_port()),
        "LAB_PORT": str(free_port()),
        "LAB_POSTGRES": "docker",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield variables
        compose.compose("down", "--volumes", "--remove-orphans")
        # Only the names: the layers make the next run quick.
        subprocess.run(["docker", "rmi", "--no-prune", *IMAGES], capture_output=True)


@pytest.fixture
def learner(project, tmp_path, monkeypatch):
    """A learner who chose docker, in a folder of their own."""
    for name in ("LAB_POSTGRES_PASSWORD", "LAB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in project.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LAB_WORK", str(tmp_path / "Zoë's work"))
    return Workspace()


def container(service="postgres"):
    return compose.compose("ps", "-q", service).strip()


def inspected(service="postgres"):
    return json.loads(compose.run("docker", "inspect", container(service)))[0]


def wrong():
    """What the doctor finds wrong."""
    return [str(finding) for finding in doctor.examine() if not finding.well]


# The service postgres


def test_it_comes_up_healthy_on_loopback_alone(learner):
    """At first it makes its data, restarts, and only then may be used. A published port is the whole network's."""
    running = server()
    assert str(running) == f"PostgreSQL {running.version}, docker" and running.version.startswith("18")
    bound = inspected()["NetworkSettings"]["Ports"]
    assert bound == {"5432/tcp": [{"HostIp": "127.0.0.1", "HostPort": os.environ["LAB_POSTGRES_PORT"]}]}
    assert wrong() == []


def test_it_asks_for_a_password_by_scram(learner):
    """Every program on the machine reaches the port, and could read a password in docker-compose.yml."""
    url = server().url
    with connect(url) as session:
        stored = session.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'lab'").fetchone()[0]
        methods = session.execute("SELECT DISTINCT auth_method FROM pg_hba_file_rules WHERE address = 'all'").fetchall()
    assert stored.startswith("SCRAM-SHA-256$")
    assert methods == [("scram-sha-256",)]
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(libpq_url(url.set(password="")), passfile=os.devnull)
    assert re.fullmatch("[0-9a-f]{48}", url.password), "it is not random"
    assert url.password not in compose.run("docker", "inspect", container()) + compose.run("docker", "top", container())


def test_a_second_start_leaves_the_container_alone(learner, monkeypatch):
    """`up` after a change of settings makes the container anew and ends every kernel's session; each %lesson did it.

    The container says which password it has, so that nobody is shut out by what LAB_POSTGRES_PASSWORD says meanwhile.
    """
    url = server().url
    with connect(url) as session:
        before = container()
        monkeypatch.setenv("LAB_POSTGRES_PASSWORD", "another")
        assert server().url == url
        assert wrong() == []
        assert container() == before
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_a_lesson_and_an_exercise_run_there(learner, lab, project):
    """The course is the same on each server, but for the database's name: others may share this one."""
    opened = lab("open", "02", **project, LAB_WORK=learner.path)
    assert re.match(rf"Server +PostgreSQL 18\S*, docker\nDatabase +lesson_02_{learner.tag}\n", opened.said), opened.said
    exercise = next(iter(exercises().values()))
    folder = learner.project(exercise.place)
    lesson.lay_start(folder, exercise)
    shutil.copytree(exercise.folder / "solution", folder, dirs_exist_ok=True)
    assert grading.check(exercise, learner).outcome is Outcome.PASSED


def test_the_volumes_outlive_the_container_and_its_password_can_change(learner, monkeypatch):
    """Images from 18 on keep their data one folder up: at the old place a volume stays empty, and `down` loses all.

    The role's password is stored in the data, so a new one in the environment shut its owner out.
    """
    with connect(server().url) as session:
        session.execute("CREATE TABLE kept AS SELECT 1")
    mounts = {(mount["Type"], mount["Name"], mount["Destination"]) for mount in inspected()["Mounts"]}
    assert mounts == {
        ("volume", f"{PROJECT}_postgres", "/var/lib/postgresql"),
        ("volume", f"{PROJECT}_password", "/run/migration-lab"),
    }
    chosen = "it's-a-p@ss/w:rd?#%20\\"
    first = server().url.password
    for given, expected in ((None, first), (chosen, chosen), (None, chosen)):
        compose.compose("kill", "postgres")  # with its lock file left behind
        compose.compose("down")
        if given:
            monkeypatch.setenv("LAB_POSTGRES_PASSWORD", given)
        else:
            monkeypatch.delenv("LAB_POSTGRES_PASSWORD", raising=False)
        url = server().url
        assert url.password == expected
        with connect(url) as session:
            assert session.execute("TABLE kept").fetchone() == (1,)


OLDER = """
services:
  postgres:
    image: postgres:18
    environment: {POSTGRES_USER: lab, POSTGRES_PASSWORD: migration-lab, POSTGRES_DB: postgres}
    ports: ["127.0.0.1:${LAB_POSTGRES_PORT}:5432"]
    volumes: ["postgres:/var/lib/postgresql"]
    healthcheck: {test: pg_isready --host 127.0.0.1 --username lab --dbname postgres, interval: 1s}
volumes: {postgres: {}}
"""


def test_a_server_with_the_old_known_password_gets_a_random_one(learner, monkeypatch, tmp_path):
    """Everybody's was "migration-lab". Who pulls a newer course keeps the lessons' databases, and not that password."""
    compose.compose("down", "--volumes")
    (tmp_path / "docker-compose.yml").write_text(OLDER)
    with monkeypatch.context() as older:
        older.setattr(compose, "ROOT", tmp_path)
        compose.compose("up", "-d", "postgres")
        wait_until(lambda: compose.health(compose.port()) == "healthy")
    old = as_url("127.0.0.1", compose.port(), "lab", "migration-lab")
    with connect(old) as session:
        session.execute("CREATE TABLE kept AS SELECT 1")
    assert wrong() == []
    with connect(server().url) as session:
        assert session.execute("TABLE kept").fetchone() == (1,)
    with pytest.raises(UserError, match="the password or the role is wrong"):
        connect(old)


def test_two_lessons_opened_at_the_same_moment_share_one_first_start(learner, lab, project):
    """Two `up` at once made two networks of one name, and from then on Docker refused to do anything."""
    compose.compose("down")
    both = [lab("open", number, wait=False, **project, LAB_WORK=learner.path) for number in ("00", "01")]
    said = [process.communicate(timeout=180)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    networks = compose.run("docker", "network", "ls", "-q", "--filter", f"name={PROJECT}").split()
    assert len(networks) == 1


def test_a_taken_port_is_told_so_and_another_one_mends_it(learner, monkeypatch):
    """Another clone's PostgreSQL, mostly. Docker leaves a container behind, which looked like one that starts."""
    compose.compose("down")
    taken, free = free_port(), free_port()
    monkeypatch.setenv("LAB_POSTGRES_PORT", str(taken))
    with socket.create_server(("127.0.0.1", taken)):
        with pytest.raises(UserError) as refusal:
            server()
        assert str(refusal.value) == (
            f"Port {taken} is taken by another program, so PostgreSQL in Docker can't be published there. "
            "Set LAB_POSTGRES_PORT to a free port, such as 54321, and start again."
        )
        mend = "Set LAB_POSTGRES_PORT to a free port, such as 54321."
        assert wrong() == [f"✘ Port {taken} is taken by another program. {mend}"]
        monkeypatch.setenv("LAB_POSTGRES_PORT", str(free))
        assert wrong() == []
        assert server().url.port == free
    monkeypatch.setenv("LAB_POSTGRES_PORT", str(free_port()))
    assert str(server().url.port) == os.environ["LAB_POSTGRES_PORT"], "a container that runs stayed at its old port"


@pytest.mark.parametrize("port", ["http", "99999", "0"])
def test_a_port_that_is_none_is_told_so(learner, monkeypatch, port):
    """Compose speaks of a schema there."""
    monkeypatch.setenv("LAB_POSTGRES_PORT", port)
    sentence = f'LAB_POSTGRES_PORT is "{port}", which is no port. Set it to a free one, such as 54321.'
    with pytest.raises(UserError) as refusal:
        server()
    assert str(refusal.value) == sentence
    assert wrong() == [f"✘ {sentence}"]


def test_a_server_that_does_not_come_up_is_told_by_its_own_words(learner):
    """A volume of an older PostgreSQL: the container ends at once, and waiting for it says nothing."""
    with connect(server().url) as session:
        version = session.execute("SHOW data_directory").fetchone()[0] + "/PG_VERSION"
    compose.run("docker", "exec", container(), "sh", "-c", f"echo 17 > {version}")
    compose.compose("stop", "postgres")
    try:
        with pytest.raises(
            UserError, match=r"Docker calls it exited, and it said: \S.*version 17.*docker compose logs"
        ):
            server()
    finally:
        compose.compose("down", "--volumes")


@pytest.mark.skipif(os.name == "nt", reason="names a socket as POSIX systems do")
@pytest.mark.parametrize("host", ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1"])
def test_an_engine_that_is_down_is_told_so(learner, monkeypatch, host):
    """Docker Desktop was not started: the first thing that goes wrong for most people."""
    monkeypatch.setenv("DOCKER_HOST", host)
    sentence = "Docker is installed but its engine does not answer. Start Docker, or choose --postgres embedded."
    with pytest.raises(UserError) as refusal:
        server()
    assert str(refusal.value) == sentence
    assert wrong() == [f"✘ {sentence}"]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root may play another user")
def test_a_closed_socket_is_told_so(learner, monkeypatch):
    """A user who is not in the group docker: the older Compose ends in forty lines of traceback."""
    monkeypatch.setattr(compose.subprocess, "run", functools.partial(subprocess.run, user="nobody", extra_groups=[]))
    with pytest.raises(UserError, match="Docker's socket is closed to you. Add yourself to the group docker"):
        server()


# The service lab


def get(path, token="", body=None, **headers):
    """(status, what it says) of the lab's JupyterLab, once it answers."""
    if token:
        headers["Authorization"] = f"token {token}"
    request = urllib.request.Request(f"http://127.0.0.1:{os.environ['LAB_PORT']}{path}", body, headers)
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            return answer.code, ""
        except OSError:
            assert time.monotonic() < deadline, compose.compose("logs", "--no-color", "lab")
            time.sleep(0.2)


def printed_token():
    """The token in the address that `docker compose up` shows."""
    page = rf"Migration Lab is starting\. Open http://localhost:{os.environ['LAB_PORT']}/lab\?token=(\w+)\n"
    return wait_until(lambda: re.search(page, compose.compose("logs", "--no-color", "lab")))[1]


def in_lab(*command):
    return compose.run("docker", "exec", container("lab"), *command)


def test_compose_up_serves_the_course(learner, monkeypatch):
    """For people with Docker and nothing else: one command, and none of it may lean on the clone's own .venv."""
    monkeypatch.setenv("LAB_POSTGRES_PASSWORD", "p@ss/w:rd?#%20")
    compose.compose("down", "--volumes")
    # On the host's network: a build's own does not reach the package index everywhere.
    compose.run("docker", "build", "--network", "host", "--tag", IMAGES[0], "--tag", IMAGES[1], str(ROOT))
    compose.compose("up", "-d", "--no-build", "lab")

    token = printed_token()
    assert get("/api/contents")[0] == 403
    assert get("/api/contents", "migration-lab")[0] == 403, "the token that everybody's had is still good"
    listed = {entry["name"] for entry in json.loads(get("/api/contents", token)[1])["content"]}
    assert {lesson.notebook for lesson in lessons().values()} <= listed
    evil = {"Origin": "http://evil.example"}
    assert get(f"/api/terminals?token={token}", body=b"{}", **evil)[0] == 404, "any web page gets a terminal"
    assert get(f"/api/terminals?token={token}", body=b"{}", Host="evil.example", **evil)[0] == 403
    assert json.loads(get("/api/terminals", token)[1]) == []
    assert in_lab("stat", "-c", "%U %a", "/work/.lab/token").strip() == "lab 600"
    notices = json.loads(get("/lab/api/settings/@jupyterlab/apputils-extension:notification", token)[1])
    assert notices["schema"]["properties"]["fetchNews"]["default"] == "false"
    bound = inspected("lab")["NetworkSettings"]["Ports"]
    assert bound == {"8888/tcp": [{"HostIp": "127.0.0.1", "HostPort": os.environ["LAB_PORT"]}]}

    assert in_lab("id", "-un").strip() == "lab"
    opened = in_lab("lab", "open", "00")
    assert re.match(r"Server +PostgreSQL 18\S*, url\nDatabase +lesson_00_\w+\nRevision +0003_orders\n", opened)
    assert server().kind == "docker", "the same server serves people outside"
    assert server().url.password == "p@ss/w:rd?#%20"
    assert "✘" not in in_lab("lab", "doctor")

    in_lab("sh", "-c", "echo mine > /work/notes.txt")
    compose.compose("kill", "lab")
    compose.compose("up", "-d", "--no-build", "lab")
    assert get("/api/contents/notes.txt", token)[0] == 200, "a killed lab does not come back"
    compose.compose("rm", "--stop", "--force", "lab")
    compose.compose("up", "-d", "--no-build", "lab")
    assert json.loads(get("/api/contents/notes.txt", token)[1])["content"] == "mine\n", "/work is not on the volume"

    lab = container("lab")
    compose.compose("stop", "lab")
    ended = json.loads(compose.run("docker", "inspect", lab))[0]["State"]["ExitCode"]
    assert ended == 0, "it does not end when it is asked to, and Docker kills it after ten seconds"
