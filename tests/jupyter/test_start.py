"""``lab start``, for real: JupyterLab on the first lesson, without questions, once for each folder."""

from __future__ import annotations

import functools
import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import websocket
from conftest import drop_databases
from jupyter_client import BlockingKernelClient
from sqlalchemy import make_url
from tests.waiting import wait_until

from migration_lab.course.manifest import lessons
from migration_lab.jupyter import lab as jupyter_lab
from migration_lab.jupyter import start
from migration_lab.jupyter.port import server_class
from migration_lab.paths import ROOT
from migration_lab.server import startstate
from migration_lab.server.embedded import free_port, is_free
from migration_lab.workspace import Workspace
from migration_xray.errors import UserError

on_posix = pytest.mark.skipif(os.name == "nt", reason="sends signals as POSIX systems do")


class Site(urllib.request.HTTPRedirectHandler):
    """Asks one JupyterLab, and shows where it leads instead of going there."""

    def __init__(self, address):
        at = urllib.parse.urlsplit(address)
        self.root, self.path = f"{at.scheme}://{at.netloc}", at.path
        self.token = urllib.parse.parse_qs(at.query)["token"][0]

    def redirect_request(self, *_):
        return None

    def get(self, path, token=None, body=None, **headers):
        """(status, where it leads, what it says)"""
        body = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.root + path, body, headers)
        if token:
            request.add_header("Authorization", f"token {token}")
        try:
            with urllib.request.build_opener(self).open(request, timeout=60) as answer:
                return answer.status, None, answer.read().decode()
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, answer.headers.get("Location"), answer.read().decode()

    def json(self, path, body=None):
        status, _, said = self.get(path, self.token, body)
        assert status in (200, 201), said
        return json.loads(said)

    def shakes_hands(self, path, origin):
        """Whether a WebSocket that has the token opens for a page of this origin."""
        at = f"ws{self.root.removeprefix('http')}{path}?token={self.token}"
        try:
            websocket.create_connection(at, origin=origin, timeout=60).close()
        except websocket.WebSocketBadStatusException as refusal:
            assert refusal.status_code == 403
            return False
        return True


def address(process):
    """Where a `lab start` says that it serves, once it does. What it says later is read beside, so that it never waits."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if found := re.search(r"http://(?:127\.0\.0\.1|localhost):(\d+)/\S+token=\w+", line):
            threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True).start()
            wait_until(lambda: not is_free(int(found[1])))
            return found[0]
    raise AssertionError("it did not serve:\n" + "".join(lines))


def answers(client):
    """Whether the kernel is ready. On a busy machine its first heartbeat is late, and jupyter_client calls it dead."""
    try:
        client.wait_for_ready(timeout=120)
    except RuntimeError:
        return False
    return True


@contextmanager
def talking_to(kernel, settings):
    client = BlockingKernelClient(connection_file=f"{settings['JUPYTER_RUNTIME_DIR']}/kernel-{kernel['id']}.json")
    client.load_connection_file()
    client.start_channels()
    try:
        wait_until(lambda: answers(client), 120)
        yield client
    finally:
        client.stop_channels()


def end(process, how=signal.SIGTERM):
    process.send_signal(how)
    ended = process.wait(timeout=60)
    assert ended == 0 or os.name == "nt", "it did not end by itself"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """JupyterLab's own folders, apart from those of the person who runs the tests."""
    folder = tmp_path_factory.mktemp("jupyter")
    names = ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR")
    return {name: str(folder / name.lower()) for name in names}


@pytest.fixture(scope="module")
def settings(home, running, tmp_path_factory):
    """A new learner with a server that runs already."""
    work = tmp_path_factory.mktemp("learner") / "Zoë's work"
    yield home | {"LAB_WORK": str(work), "LAB_POSTGRES": running.url.render_as_string(hide_password=False)}
    with running.connect() as session:
        startstate.drop_database(session, f"lesson_00_{Workspace(work).tag}")


@pytest.fixture(scope="module")
def served(settings):
    """A JupyterLab as `lab start --no-browser --port …` serves it."""
    port = free_port()
    command = [sys.executable, "-m", "migration_lab", "start", "--no-browser", f"--port={port}"]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8"}
    process = subprocess.Popen(command, env=os.environ | settings, **pipes)
    site = Site(address(process))
    assert site.root.endswith(f":{port}"), "options do not go on to JupyterLab"
    site.process = psutil.Process(process.pid)
    yield site
    end(process)


def test_it_opens_on_the_first_lesson(served):
    """A file browser, or last week's notebook, is where a workshop loses its first ten minutes."""
    first = next(iter(lessons().values())).notebook
    assert served.path == f"/lab/tree/{first}"
    _, leads_to, _ = served.get("/", served.token)
    assert leads_to.startswith(f"/lab/tree/{first}")
    assert served.get(f"/lab/tree/{first}", served.token)[0] == 200
    listed = {entry["name"] for entry in served.json("/api/contents")["content"]}
    assert {lesson.notebook for lesson in lessons().values()} <= listed


def test_nobody_gets_in_without_the_token(served):
    """It runs any code for whoever gets in."""
    assert served.get("/api/contents")[0] == 403
    assert served.get("/api/contents", "guess")[0] == 403
    status, leads_to, _ = served.get("/lab")
    assert status == 302 and leads_to.startswith("/login")
    listening = {at.laddr.ip for at in served.process.net_connections("tcp") if at.status == psutil.CONN_LISTEN}
    assert listening <= {"127.0.0.1", "::1"}, "other hosts reach it"


@pytest.mark.parametrize("origin", ["http://evil.example", "http://localhost:1", "null"])
def test_a_page_of_another_site_gets_nothing_even_with_the_token(served, origin):
    """Jupyter itself asks for no Origin where the token is right: a page that knew the token had a terminal here.

    "null" is what a browser sends for a frame in a sandbox; another port of this machine may be another user's.
    """
    terminal = served.json("/api/terminals", {})["name"]
    before = {each["name"] for each in served.json("/api/terminals")}
    with_token = f"?token={served.token}"
    # A browser sends these without asking first; what they say it shows to nobody, but they would have been done.
    assert served.get(f"/api/terminals{with_token}", body={}, Origin=origin)[0] == 404
    assert served.get("/api/terminals", served.token, body={}, Origin=origin)[0] == 404
    assert {each["name"] for each in served.json("/api/terminals")} == before, "it was refused and done"
    assert not served.shakes_hands(f"/terminals/websocket/{terminal}", origin)
    assert served.get(f"/api/contents{with_token}", Origin=origin)[0] == 404
    assert served.get(f"/files/images/the_lab.svg{with_token}", Origin=origin)[1].startswith("/login"), "files are read"


def test_its_own_pages_and_programs_work_with_the_token(served):
    """What is refused to other sites is what JupyterLab itself does all the time."""
    assert served.get(f"/api/contents?token={served.token}", Origin=served.root)[0] == 200
    status, _, said = served.get(f"/api/terminals?token={served.token}", body={}, Origin=served.root)
    assert status == 200
    for origin in (served.root, None):
        assert served.shakes_hands(f"/terminals/websocket/{json.loads(said)['name']}", origin)


@pytest.fixture(scope="module")
def contained(settings, tmp_path_factory):
    """A JupyterLab as the image starts it, which listens for everybody and is published at another address."""
    port = free_port()
    here = {"LAB_WORK": str(tmp_path_factory.mktemp("contained") / "work"), "LAB_ADDRESS": f"http://localhost:{port}"}
    for name in ("LAB_TOKEN", "JUPYTER_TOKEN", "JUPYTER_TOKEN_FILE"):
        assert name not in os.environ, f"{name} is set, and these tests are about a lab without it"

    def begin(**more):
        command = [sys.executable, "-m", "migration_lab", "start", "--no-browser", "--ip=0.0.0.0", f"--port={port}"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8"}
        process = subprocess.Popen([*command, "--log-level=WARN"], env=os.environ | settings | here | more, **pipes)
        begun.append(process)
        site = Site(address(process))
        site.work, site.end = Path(here["LAB_WORK"]), lambda: end(process)
        return site

    begun, begin.address = [], here["LAB_ADDRESS"]
    yield begin
    for process in begun:
        process.kill()
        process.communicate()


def test_a_container_keeps_a_random_token_and_prints_the_whole_address(contained):
    """Its token was in docker-compose.yml, for every web page to know. One that is new each day breaks bookmarks."""
    first = contained()
    kept = first.work / ".lab" / "token"
    assert (first.root, first.path) == (contained.address, "/lab")
    assert re.fullmatch(r"[0-9a-f]{48}", first.token) and kept.read_text() == first.token
    assert os.name == "nt" or stat.S_IMODE(kept.stat().st_mode) == 0o600, "other users of the machine can read it"
    assert first.get("/api/contents")[0] == 403
    assert first.get("/api/contents/.lab/token", first.token)[0] == 404, "it is shown among the learner's files"
    first.end()
    again = contained()
    assert again.token == first.token
    again.end()
    chosen = contained(LAB_TOKEN="chosen")
    assert chosen.token == "chosen" and chosen.json("/api/contents")
    chosen.end()


def test_a_container_answers_to_this_machine_alone(contained):
    """A site can let its name lead to 127.0.0.1, and is then in a browser's eyes of one origin with the lab.

    With --ip=0.0.0.0 Jupyter looks at no Host, and the image says --ip=0.0.0.0, or nothing could be published.
    """
    site = contained()
    port = site.root.rpartition(":")[2]
    for host in ("localhost", "127.0.0.1", "[::1]"):
        assert site.get("/api/contents", site.token, Host=f"{host}:{port}")[0] == 200
    for host in ("evil.example", "localhost.evil.example", "0.0.0.0", "10.0.0.1"):
        own = {"Host": f"{host}:{port}", "Origin": f"http://{host}:{port}"}
        assert site.get("/api/contents", site.token, **own)[0] == 403
        assert site.get("/api/terminals", site.token, body={}, **own)[0] == 403
    assert site.get("/api/terminals", site.token, body={}, Origin="http://evil.example")[0] == 404
    assert site.json("/api/terminals") == []
    site.end()


def test_it_asks_no_questions(served):
    """Would you like news? Which kernel? Thirty people asked thirty times."""
    prompts = served.json("/lab/api/settings/@jupyterlab/apputils-extension:notification")["schema"]["properties"]
    assert prompts["fetchNews"]["default"] == "false"
    assert prompts["checkForUpdates"]["default"] is False
    kernels = served.json("/api/kernelspecs")["kernelspecs"]
    for lesson in lessons().values():
        notebook = served.json(f"/api/contents/{lesson.notebook}")["content"]
        assert notebook["metadata"]["kernelspec"]["name"] in kernels, "JupyterLab asks for a kernel"


def test_a_kernel_there_has_the_lesson_and_its_programs(served, settings):
    """What a kernel inherits is made in `lab start`: its server, its folder, and a PATH with psql and alembic."""
    first = next(iter(lessons().values()))
    session = {"path": first.notebook, "type": "notebook", "name": first.notebook, "kernel": {"name": "python3"}}
    cell = f"!psql --version\n!alembic --version\n!lab --help\n%load_ext migration_lab\n%lesson {first.number}"
    said = []
    with talking_to(served.json("/api/sessions", session)["kernel"], settings) as client:
        client.execute_interactive(
            cell, timeout=120, output_hook=lambda output: said.append(output["content"].get("text", ""))
        )
    expected = r"psql \(PostgreSQL\) .*alembic 1.*usage: lab.*Server +PostgreSQL .*\nDatabase +lesson_00"
    assert re.search(expected, "".join(said), re.S), said


def test_a_second_start_says_where_the_first_one_runs(served, settings, lab):
    """A second JupyterLab on the same files asks which of two copies of a notebook to keep."""
    second = lab("start", "--no-browser", **settings)
    assert second.returncode == 0
    assert second.said.splitlines()[0].startswith("Migration Lab is running already: http://")
    site = Site(second.said.split()[-1])
    assert site.root == served.root
    assert site.get("/api/contents", site.token)[0] == 200


def test_a_second_start_on_another_server_is_refused(served, settings, lab):
    """The option was dropped in silence, and people learned on a server that they had not meant."""
    work = settings["LAB_WORK"]
    same = lab("start", "--postgres", settings["LAB_POSTGRES"], **settings)
    assert (same.returncode, same.said.splitlines()[0].split(": ")[0]) == (0, "Migration Lab is running already")
    other = lab("start", "--postgres", "postgresql://me:secret@localhost:1/postgres", **settings)
    assert other.returncode == 1
    assert other.said.startswith(f"Migration Lab is running already in {work}, on another PostgreSQL (")
    assert "To learn on me@localhost:1, end that one first" in other.said
    assert "secret" not in other.said
    nonsense = lab("start", "--postgres", "nonsense", **settings)
    assert (nonsense.returncode, nonsense.said.splitlines()[0].split(".")[0]) == (1, 'There is no server "nonsense"')
    kept = Path(work, ".lab/serving.json").read_text(encoding="utf-8")
    password = make_url(settings["LAB_POSTGRES"]).password
    assert password is None or password not in kept


def test_two_at_the_same_instant_serve_once(settings, lab, tmp_path):
    """A double click: neither saw the other yet, and the learner had two JupyterLabs on one folder."""
    settings = settings | {"LAB_WORK": str(tmp_path / "work")}
    both = [lab("start", "--no-browser", f"--port={free_port()}", wait=False, **settings) for _ in range(2)]
    assert address(both[0]).split("/lab")[0] == address(both[1]).split("/lab")[0]
    ended = wait_until(lambda: [process for process in both if process.poll() is not None])
    assert [process.returncode for process in ended] == [0], "one of the two serves, the other one ends"
    (serves,) = set(both) - set(ended)
    end(serves)


def test_two_folders_at_the_same_instant_serve_both(settings, lab, tmp_path):
    """A whole class begins on one machine: both found the same port free, and one of the two ended with an error."""
    port, works = free_port(), [tmp_path / "one", tmp_path / "two"]
    both = [
        lab("start", "--no-browser", f"--port={port}", wait=False, **settings | {"LAB_WORK": str(work)})
        for work in works
    ]
    sites = [Site(address(process)) for process in both]
    assert sites[0].root != sites[1].root
    for site, work in zip(sites, works, strict=True):
        assert site.json("/api/contents")["content"], work
    for process in both:
        end(process)


def test_a_port_that_is_found_is_taken():
    """Nobody else finds it free in the time until the server listens."""
    first, second = (server_class()(port=free_port(), ip="127.0.0.1") for _ in range(2))
    second.port = first.port
    for server in (first, second):
        server._find_http_port()
    try:
        assert first.port != second.port
        assert not is_free(first.port) and not is_free(second.port)
    finally:
        for one in (*first.taken, *second.taken):
            one.close()


@on_posix
def test_ctrl_c_ends_it_and_its_kernels(served, settings, lab, tmp_path):
    """A kernel that stays holds its lesson's database. (And another folder, as of a second clone, is another lab.)"""
    settings = settings | {"LAB_WORK": str(tmp_path / "work")}
    serves = lab("start", "--no-browser", f"--port={free_port()}", wait=False, **settings)
    site = Site(address(serves))
    assert site.root != served.root
    with talking_to(site.json("/api/kernels", {"name": "python3"}), settings):
        pass
    family = psutil.Process(serves.pid).children(recursive=True)
    assert family
    end(serves, signal.SIGINT)
    assert psutil.wait_procs(family, timeout=20)[1] == []


def test_a_start_that_hangs_is_not_waited_for_for_ever(workspace, monkeypatch, capsys):
    """Another user's JupyterLab, or one with other folders of its own, holds the folder and is never found."""
    hold = "import fasteners, sys; lock = fasteners.InterProcessLock(sys.argv[1]); lock.acquire(); print(flush=True); input()"
    command = [sys.executable, "-c", hold, workspace.state / "start.lock"]
    monkeypatch.setattr(jupyter_lab, "UNDER_WAY", 0.5)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        holder.stdout.readline()
        with pytest.raises(UserError, match="Another `lab start` has held .* and no JupyterLab answers. End that one"):
            start([], None)
        holder.communicate(b"\n")
    assert capsys.readouterr().out == "Another `lab start` is under way in this folder; waiting until it answers …\n"


@on_posix
def test_a_jupyter_that_others_start_opens_on_the_first_lesson(settings, lab, running, tmp_path):
    """On Binder nobody runs `lab start`: its Jupyter began in the clone, without the learner's own copies."""
    command = [sys.executable, ROOT / ".binder" / "start", "jupyter", "lab", "--no-browser", "--allow-root"]
    variables = os.environ | settings | {"LAB_WORK": str(tmp_path / "work")}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8"}
    with subprocess.Popen([*command, f"--port={free_port()}"], cwd=tmp_path, env=variables, **pipes) as process:
        try:
            site = Site(address(process))
            first = next(iter(lessons().values())).notebook
            assert site.get("/", site.token)[1].startswith(f"/lab/tree/{first}")
            listed = {entry["name"] for entry in site.json("/api/contents")["content"]}
            assert {lesson.notebook for lesson in lessons().values()} <= listed
            said = []
            with talking_to(site.json("/api/kernels", {"name": "python3"}), settings) as client:
                cell = "!psql --version\n!alembic --version\n%load_ext migration_lab\n%lesson 00"
                hear = lambda output: said.append(output["content"].get("text", ""))  # noqa: E731
                client.execute_interactive(cell, timeout=120, output_hook=hear)
            assert re.search(r"psql \(PostgreSQL\) .*alembic 1.*\nDatabase +lesson_00", "".join(said), re.S), said
        finally:
            process.terminate()
            drop_databases(running, Workspace(tmp_path / "work"))


@on_posix
@pytest.mark.parametrize("spelling", [("--postgres", "{}"), ("--postgres={}",), ("--post", "{}")])
def test_a_password_is_in_no_argument_of_the_lab_or_its_children(settings, running, lab, tmp_path, spelling):
    """`ps` shows the arguments of each process to every user of the machine, for as long as JupyterLab runs."""
    settings = settings | {"LAB_WORK": str(tmp_path / "work")}
    url = settings.pop("LAB_POSTGRES")
    given = [part.format(url) for part in spelling]
    serves = lab("start", *given, "--no-browser", f"--port={free_port()}", wait=False, **settings)
    site = Site(address(serves))
    assert site.root.endswith(serves.args[-1].rpartition("=")[2]), "the other options were lost"
    cell = "%load_ext migration_lab\n%lesson 00\n"
    cell += "import subprocess; subprocess.Popen(['psql', '-c', 'SELECT pg_sleep(60)'])"
    try:
        with talking_to(site.json("/api/kernels", {"name": "python3"}), settings) as client:
            client.execute_interactive(cell, timeout=120)
            lab_itself = psutil.Process(serves.pid)
            children = functools.partial(lab_itself.children, recursive=True)
            psql = wait_until(lambda: [child for child in children() if child.name() == "psql"])
            family = [lab_itself, *children()]
            shown = [argument for process in family for argument in process.cmdline()]
            psql[0].kill()
        assert any("ipykernel" in argument for argument in shown)
        assert [argument for argument in shown if make_url(url).password in argument] == []
    finally:
        end(serves)
        drop_databases(running, Workspace(tmp_path / "work"))


def test_a_server_that_can_not_be_had_is_told_before_jupyter_starts(settings, lab, tmp_path):
    """--postgres goes before LAB_POSTGRES, and its sentence must not drown in JupyterLab's log."""
    refused = lab("start", "--no-browser", "--postgres", "dokcer", **settings | {"LAB_WORK": str(tmp_path / "work")})
    assert refused.returncode == 1
    assert refused.said.startswith('There is no server "dokcer".')
    assert len(refused.said.splitlines()) == 1
