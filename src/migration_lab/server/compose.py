"""The server in Docker: the service ``postgres`` of docker-compose.yml, published on 127.0.0.1 alone."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time

from migration_lab.paths import ROOT
from migration_xray.errors import UserError

PASSWORD = "/run/migration-lab/password"  # where the container keeps it: docker-compose.yml
FORM = "{{.ID}} {{.State.Status}} {{with .State.Health}}{{.Status}}{{end}} {{json .HostConfig.PortBindings}}"
HEALTHY_WITHIN = 120  # seconds; a first start also makes the data directory

# What Docker's refusals mean and what to do, by what the engine, Compose or the older docker-compose says.
REFUSALS = {
    r"(?i)port is already allocated|address already in use|ports are not available": (
        "Port {port} is taken by another program, so PostgreSQL in Docker can't be published there. "
        "Set LAB_POSTGRES_PORT to a free port, such as 54321, and start again."
    ),
    r"(?i)permission ?(error|denied)": (
        "Docker's socket is closed to you. Add yourself to the group docker, or choose --postgres embedded."
    ),
    r"(?i)docker daemon|daemon is running|docker API|fetching server API version|error during connect": (
        "Docker is installed but its engine does not answer. Start Docker, or choose --postgres embedded."
    ),
    r"(?i)no space left on device": "Docker's disk is full. Make room (`docker system df` shows what takes it), then start again.",
    r"(?i)no such host|TLS handshake|i/o timeout|toomanyrequests|pull access denied|manifest.*unknown": (
        "Docker could not fetch the image postgres:18. Check the network (`docker pull postgres:18` tries it alone), "
        "or choose --postgres embedded."
    ),
}


def port() -> int:
    """The port where docker-compose.yml publishes the service, by the same variable and default as that file."""
    chosen = os.environ.get("LAB_POSTGRES_PORT") or "54320"
    if not chosen.isdecimal() or not 0 < int(chosen) < 65536:
        raise UserError(f'LAB_POSTGRES_PORT is "{chosen}", which is no port. Set it to a free one, such as 54321.')
    return int(chosen)


def address() -> dict | None:
    """{"host", "port", "user", "password"} of the service, once it is healthy.

    None before, and where an older docker-compose.yml made its container, which keeps no password that can be read.
    """
    state, container = _found(port())
    if state != "healthy":
        return None
    password = run("docker", "exec", container, "sh", "-c", f"cat {PASSWORD} 2>/dev/null || true")
    return {"host": "127.0.0.1", "port": port(), "user": "lab", "password": password} if password else None


def start() -> dict:
    """Start the service and wait until it is healthy. Returns {"host", "port", "user", "password"}.

    Raises UserError with what Docker said.
    """
    if where := address():
        return where  # `up` takes its time, and after a change of settings makes the container anew: its sessions end
    compose("up", "-d", "postgres")
    deadline = time.monotonic() + HEALTHY_WITHIN
    while not (where := address()):
        state = health(port())
        if state == "exited" or time.monotonic() > deadline:
            raise UserError(
                f"PostgreSQL in Docker did not become ready: Docker calls it {state}, and it said: {last_words()} "
                "(`docker compose logs postgres` has the rest)."
            )
        time.sleep(0.2)
    return where


def health(port: int) -> str:
    """What Docker says of the service's container on this port: "healthy", "starting", "unhealthy" or "exited"."""
    return _found(port)[0]


def _found(port: int) -> tuple[str, str]:
    """(its health, its id) of the service's container on this port; ("exited", "") where none runs."""
    containers = compose("ps", "-q", "postgres").split()
    inspected = run("docker", "inspect", "--format", FORM, *containers) if containers else ""
    for line in inspected.splitlines():  # a start that failed may have left one more
        container, status, healthy, published = line.split(" ", 3)
        if status in ("running", "restarting") and f'"HostPort":"{port}"' in published:
            return healthy or "starting", container
    return "exited", ""


def last_words() -> str:
    """The last line of the service's log, without the container's name before it."""
    said = compose("logs", "--no-color", "--tail", "1", "postgres").strip().splitlines()
    return said[-1].partition("| ")[2] if said and "| " in said[-1] else "nothing"


def compose(*arguments: str) -> str:
    """Run Compose v2, or the older docker-compose, on the course's file; returns what it printed."""
    program = compose_program()
    if program is None:
        raise UserError(
            "Docker is here but Compose is not. Install the Compose plugin, or choose --postgres embedded."
            if shutil.which("docker")
            else "Docker is not installed (no `docker` on PATH). Install it, or choose --postgres embedded."
        )
    return run(*program, "-f", str(ROOT / "docker-compose.yml"), *arguments)


def compose_program() -> tuple[str, ...] | None:
    """The command that speaks Compose on this machine, v2 first; None without one, or without Docker itself."""
    if not shutil.which("docker"):
        return None
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True)
    if plugin.returncode == 0:
        return ("docker", "compose")
    return ("docker-compose",) if shutil.which("docker-compose") else None


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise UserError(_meaning(done.stderr.strip() or done.stdout.strip()))
    return done.stdout


def _meaning(said: str) -> str:
    for pattern, meaning in REFUSALS.items():
        if re.search(pattern, said):
            return meaning.format(port=port())
    lines = said.splitlines() or ["nothing"]
    telling = [line for line in lines if re.search(r"(?i)\berror\b", line)] or lines
    return f"Docker said: {telling[-1].strip()}"
