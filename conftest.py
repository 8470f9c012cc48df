"""What the tests share: one real server for all of them, and a workspace of its own for each.

LAB_POSTGRES chooses the server, as it does for a learner; without it, it is the embedded one.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from nbval.plugin import IPyNbCell

from migration_lab import startstate
from migration_lab.embedded import Embedded
from migration_lab.postgres import Server, server
from migration_lab.workspace import Workspace


def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        shared = tempfile.mkdtemp(prefix="migration-lab-tests-")
        os.chmod(shared, 0o711)  # as root, the server runs as another user
        os.environ["LAB_TESTS_SHARED"] = shared
        os.environ["LAB_TESTS_CHOICE"] = os.environ.get("LAB_POSTGRES") or os.environ.get("LAB_DATABASE_URL") or "embedded"


def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):
        shared = Path(os.environ.pop("LAB_TESTS_SHARED"))
        Embedded(Workspace(shared)).discard()
        shutil.rmtree(shared, ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Give the kernel of each notebook a workspace of its own, as each learner has."""
    if isinstance(item, IPyNbCell):
        os.environ["LAB_POSTGRES"] = _shared_url()
        os.environ["LAB_WORK"] = str(Path(os.environ["LAB_TESTS_SHARED"]) / item.path.stem)


def _shared_url() -> str:
    shared = Workspace(Path(os.environ["LAB_TESTS_SHARED"]))
    return server(os.environ["LAB_TESTS_CHOICE"], shared).url.render_as_string(hide_password=False)


@pytest.fixture(scope="session")
def running() -> Server:
    """The server that all tests share."""
    return server(_shared_url())


@pytest.fixture
def workspace(tmp_path, monkeypatch, running) -> Workspace:
    """A new learner's folder, in a path that people really have, on the shared server."""
    path = tmp_path / "Zoë's work"
    monkeypatch.setenv("LAB_WORK", str(path))
    monkeypatch.setenv("LAB_POSTGRES", running.url.render_as_string(hide_password=False))
    workspace = Workspace()
    yield workspace
    with running.connect() as session:
        for (name,) in session.execute(
            "SELECT datname FROM pg_database WHERE datname LIKE %s", [f"%{workspace.tag}%"]
        ).fetchall():
            startstate.drop_database(session, name)


@pytest.fixture
def database(running):
    """An autocommit session in a new, empty database."""
    name = f"test_{os.getpid()}_{next(_count)}"
    startstate.create_database(running, name, "empty")
    with running.connect(name) as session:
        yield session
    with running.connect() as session:
        startstate.drop_database(session, name)


_count = iter(range(1_000_000))
