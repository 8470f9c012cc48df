"""JupyterLab's first page, and how long it takes to get there."""

from __future__ import annotations

import subprocess
import time
import urllib.request
from pathlib import Path

from migration_lab.server import free_port
from migration_xray.errors import UserError

WAIT = 60  # seconds that a JupyterLab may take until it answers


def until_it_answers(program: list, folder: Path, seconds: int = WAIT) -> float:
    """How long a program takes until its JupyterLab answers with the first page; it is shut down then.

    Raises UserError with what the program printed where it ends before that, or takes longer than ``seconds``.
    """
    port = free_port()
    page = f"http://127.0.0.1:{port}/%s?token=bench"
    options = ["--no-browser", f"--port={port}", "--IdentityProvider.token=bench", "--ServerApp.port_retries=0"]
    with open(folder / "jupyter.log", "wb") as log:
        began = time.perf_counter()
        process = subprocess.Popen([*program, *options], stdout=log, stderr=log, cwd=folder)
        while not _answers(page % "lab"):
            ended = process.poll() is not None
            if ended or time.perf_counter() - began > seconds:
                process.kill()
                said = Path(log.name).read_text(encoding="utf-8", errors="replace")
                when = f"before it ended (exit status {process.returncode})" if ended else f"within {seconds} seconds"
                raise UserError(f"JupyterLab did not answer {when}. It said:\n{said}")
            time.sleep(0.01)
        taken = time.perf_counter() - began
        _open(urllib.request.Request(page % "api/shutdown", method="POST"))
        process.wait(WAIT)
    return taken


def _answers(page: str) -> bool:
    try:
        return _open(page).status == 200
    except OSError:
        return False


_open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
