"""``lab start``: the learner's folder, the server, and JupyterLab on the first lesson."""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

from migration_lab.files import write_whole
from migration_lab.workspace import Workspace
from migration_xray.errors import UserError

# A workshop should not begin with questions: no news prompt, no look for updates. The glossary is there to be read.
# What is typed is in the file after seconds, not after two minutes. File names get the room of the column beside them.
# A line of code that is wider than its cell wraps, as it does in every other editor of JupyterLab's.
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/docmanager-extension:plugin": {
        "defaultViewers": {"markdown": "Markdown Preview"},
        "autosaveInterval": 10,
    },
    "@jupyterlab/filebrowser-extension:browser": {"showLastModifiedColumn": False},
    "@jupyterlab/notebook-extension:tracker": {"codeCellConfig": {"lineNumbers": False, "lineWrap": True}},
}
SERVING = "serving.json"  # on which PostgreSQL the folder is or was served
STYLE = Path(__file__).with_name("custom")  # the folder of custom.css
UNDER_WAY = 180  # seconds that another start may take until it serves; a first one in Docker fetches its image


def start(arguments: list[str], postgres: str | None) -> int:
    """Serve the course with JupyterLab until it is stopped; ``arguments`` go on to JupyterLab.

    Where it is being served already, says where, and leaves it at that. Raises UserError if that one was started on
    another PostgreSQL than the one that is asked for now.
    """
    if postgres:
        os.environ["LAB_POSTGRES"] = postgres
        _hide(postgres, arguments)
    workspace = Workspace()
    os.environ["LAB_WORK"] = str(workspace.path)
    with _turn(workspace) as url:
        if url:
            _must_be_on_the_same_server(workspace, url)
            print(f"Migration Lab is running already: {url}")
            return 0
        return _serve(workspace, arguments)


def _must_be_on_the_same_server(workspace: Workspace, url: str) -> None:
    from migration_lab.server import postgres

    if not (os.environ.get("LAB_POSTGRES") or os.environ.get("LAB_DATABASE_URL")):
        return  # whichever it is, then
    wanted, theirs = postgres.named(), workspace.read_json(SERVING, "")
    if theirs not in ("", wanted):
        raise UserError(
            f"Migration Lab is running already in {workspace.path}, on another PostgreSQL ({theirs}): {url}\n"
            f"To learn on {wanted}, end that one first, with Control-C where it runs, or set LAB_WORK to another folder."
        )


def _hide(postgres: str, arguments: list[str]) -> None:
    """Begin again without a URL among this process's arguments, where `ps` shows its password to every user.

    Windows shows them to the same user alone, and can't replace a process by another.
    """
    if os.name != "nt" and "://" in postgres and any(postgres in argument for argument in sys.argv):
        command = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
        os.execv(sys.executable, [sys.executable, *command, "start", *arguments])


def _serve(workspace: Workspace, arguments: list[str]) -> int:
    from migration_lab.server import postgres, server

    running = server(workspace=workspace)
    workspace.write_json(SERVING, postgres.named())
    print(f"{running} is ready; your files are in {workspace.path}", flush=True)
    prepare(workspace)
    from jupyterlab.labapp import LabApp, main

    from .identity import OwnPages
    from .port import server_class

    LabApp.serverapp_class = server_class()

    # A default page, not a file to open: it holds without a browser too, as in Docker.
    ours = ["--LabApp.default_url=/lab/tree/00_start_here.ipynb", f"--ServerApp.root_dir={workspace.path}"]
    ours += ["--LabApp.custom_css=True", f"--ServerApp.tornado_settings={dict(static_custom_path=[str(STYLE)])}"]
    ours.append(f"--ServerApp.identity_provider_class={OwnPages.__module__}.{OwnPages.__qualname__}")
    if not any("allow_remote_access" in argument for argument in arguments):
        # With --ip=0.0.0.0, as in a container, Jupyter accepts any Host, and a site can let its name lead to 127.0.0.1.
        ours.append("--ServerApp.allow_remote_access=False")
    token = _choose_token(workspace)
    if token and (outside := os.environ.get("LAB_ADDRESS")):  # JupyterLab knows only its address inside the container
        print(f"Migration Lab is starting. Open {_page(token, outside)}", flush=True)
    if sys.platform != "win32" and os.geteuid() == 0:
        ours.append("--allow-root")  # as in many containers; a server of root's own is no more open than any other
    if sys.platform != "win32":
        # Without a terminal of its own, JupyterLab opens login shells, and these make a PATH that lacks our programs.
        ours.append(f"--ServerApp.terminado_settings={dict(shell_command=[os.environ.get('SHELL') or 'sh'])}")
    return main([*ours, *arguments]) or 0


def prepare(workspace: Workspace) -> None:
    """Get ready for a JupyterLab: write the notebooks and its defaults, and put the programs on the PATH."""
    from migration_lab.learner import refresh_notebooks
    from migration_lab.server import search_path

    os.environ["LAB_WORK"] = str(workspace.path)
    for sentence in refresh_notebooks(workspace):
        print(sentence)
    settle()
    os.environ["PATH"] = search_path(workspace)


@contextmanager
def _turn(workspace: Workspace) -> Iterator[str | None]:
    """Hold the folder while serving it. Where another process does, gives its JupyterLab's address, once it answers."""
    import fasteners

    lock = fasteners.InterProcessLock(workspace.state / "start.lock")
    deadline = None
    while not (url := serving(workspace.path)) and not lock.acquire(blocking=False):
        if deadline is None:
            print("Another `lab start` is under way in this folder; waiting until it answers …", flush=True)
            deadline = time.monotonic() + UNDER_WAY
        if time.monotonic() > deadline:
            raise UserError(
                f"Another `lab start` has held {workspace.path} for {UNDER_WAY} seconds, and no JupyterLab answers. "
                "End that one, then start again."
            )
        time.sleep(0.2)
    try:
        yield url
    finally:
        if lock.acquired:
            lock.release()


def serving(folder: Path) -> str | None:
    """The address at which a JupyterLab of this user serves this folder now."""
    from jupyter_server.serverapp import list_running_servers

    for server in list_running_servers():
        if Path(server["root_dir"]) == folder and _answers(server["url"]):
            return _page(server["token"], os.environ.get("LAB_ADDRESS") or server["url"])
    return None


def _choose_token(workspace: Workspace) -> str | None:
    """Give JupyterLab the token in LAB_TOKEN, or in a container a random one that is kept for the next start.

    Returns the token. Without LAB_TOKEN and outside a container it is None: JupyterLab makes one at each start.
    """
    if token := os.environ.get("LAB_TOKEN") or os.environ.get("JUPYTER_TOKEN"):
        os.environ["JUPYTER_TOKEN"] = token
        return token
    if not os.environ.get("LAB_ADDRESS"):
        return None
    kept = workspace.state / "token"
    if not kept.exists():
        write_whole(kept, secrets.token_hex(24), mode=0o600)
    os.environ["JUPYTER_TOKEN_FILE"] = str(kept)
    return kept.read_text(encoding="utf-8")


def _page(token: str, address: str) -> str:
    """The page that a browser opens."""
    return f"{address.rstrip('/')}/lab?token={quote(token)}"


def _answers(url: str) -> bool:
    """Whether something listens there: a JupyterLab that was killed leaves its file, and its pid may live again."""
    where = urlsplit(url)
    try:
        socket.create_connection((where.hostname, where.port or 80), timeout=2).close()
        return True
    except OSError:
        return False


def settle() -> None:
    """Write JupyterLab's defaults for this environment; what a learner sets for themselves still wins."""
    from jupyterlab.commands import get_app_dir

    path = Path(get_app_dir()) / "settings" / "overrides.json"
    text = json.dumps(SETTINGS, indent=1) + "\n"
    try:
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_whole(path, text)
    except OSError:
        pass  # an environment that another user owns keeps its own defaults
