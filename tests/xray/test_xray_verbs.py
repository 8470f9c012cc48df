"""X-ray as people use it: %xray and %%traffic in a notebook, `lab xray` in a terminal, and two ways side by side."""

from __future__ import annotations

import json

import jsonschema
import pytest
from tests.xray.stage import on_stage
from tests.xray.test_trace import SCHEMA

from migration_lab import compare, last_trace, last_traffic
from migration_lab.cli import main
from migration_lab.server.postgres import environment
from migration_xray.errors import UserError
from migration_xray.words import milliseconds

ADD_AND_FILL = """
op.execute("ALTER TABLE users ADD COLUMN city text")
op.execute("UPDATE users SET city = 'here'")
"""


@pytest.fixture
def stage(running, tmp_path_factory, monkeypatch):
    """A project of somebody's own, that no lesson knows, and a terminal in its folder."""
    with on_stage(running, tmp_path_factory.mktemp("verbs")) as stage:
        stage.reset(
            "CREATE TABLE users (id int PRIMARY KEY, name text)",
            "INSERT INTO users SELECT n, 'user ' || n FROM generate_series(1, 1000) AS n",
        )
        stage.migration(ADD_AND_FILL, downgrade="op.execute('ALTER TABLE users DROP COLUMN city')")
        for name, value in environment(stage.url).items():
            monkeypatch.setenv(name, value)
        monkeypatch.chdir(stage.folder)
        yield stage


def test_the_terminal_tells_what_each_statement_did(stage, capsys):
    assert main(["xray", "upgrade", "head"]) == 0
    said = capsys.readouterr().out
    assert "Running upgrade  -> 0001" in said
    assert "■■■ AccessExclusiveLock on users" in said
    assert stage.count("SELECT count(*) FROM users WHERE city = 'here'") == 1000


def test_the_terminal_prints_json_and_nothing_else_on_standard_output(stage, capsys, monkeypatch):
    """Alembic's own lines stood in the JSON, and no program could read it. The project may be anywhere (-c)."""
    monkeypatch.chdir(stage.folder.parent)
    assert main(["xray", "--json", "-c", str(stage.folder / "alembic.ini"), "upgrade", "head"]) == 0
    printed = capsys.readouterr()
    data = json.loads(printed.out)
    jsonschema.validate(data, SCHEMA)
    assert data["transactions"][-1]["revisions"] == ["0001"]
    assert "Running upgrade" in printed.err


def test_a_command_that_fails_is_told_before_its_error(stage, capsys):
    stage.migration(ADD_AND_FILL + "\nop.execute('SELECT 1 / 0')")
    assert main(["xray", "upgrade", "head"]) == 1
    printed = capsys.readouterr()
    assert "rolled back after" in printed.out
    assert "DivisionByZero: division by zero" in printed.err
    assert main(["xray"]) == 1
    assert capsys.readouterr().err == "What should Alembic do? For example: lab xray upgrade head\n"


def test_the_terminal_draws_what_traffic_felt(stage, capsys, tmp_path, monkeypatch):
    chart = tmp_path / "chart.png"
    assert main(["xray", "--traffic", "users", "--chart", str(chart), "upgrade", "head"]) == 0
    assert "Longest read stall" in capsys.readouterr().out
    assert chart.read_bytes().startswith(b"\x89PNG")
    assert [band.sql.split()[0] for band in last_traffic().bands] == ["ALTER", "UPDATE"]
    assert main(["xray", "--chart", str(chart), "current"]) == 1
    assert "say on which table, with --traffic TABLE" in capsys.readouterr().err
    assert main(["xray", "--traffic", "usres", "downgrade", "-1"]) == 1
    assert "There is no table usres in this database. Did you mean users?" in capsys.readouterr().err
    assert stage.count("SELECT count(*) FROM users WHERE city = 'here'") == 1000, (
        "the body ran although there was no traffic"
    )
    monkeypatch.delenv("DATABASE_URL")
    assert main(["xray", "--traffic", "users", "current"]) == 1
    assert "set DATABASE_URL" in capsys.readouterr().err


def test_two_ways_lie_side_by_side(stage):
    """The table that lessons end with: its rows must be what was measured, each way under its name."""
    felt = []
    for command in (["upgrade", "head"], ["downgrade", "base"]):
        assert main(["xray", "--traffic", "users", *command]) == 0
        felt.append(last_traffic())
    table = compare({"up": felt[0], "<down>": felt[1]})
    rows = dict((line.split(" | ")[0], line.split(" | ")[1:]) for line in str(table).splitlines())
    assert rows[""] == ["up", "<down>"]
    assert [cell.split(",")[0] for cell in rows["strongest lock"]] == ["AccessExclusiveLock on users"] * 2
    assert rows["rewrote"] == ["nothing", "nothing"]
    assert rows["errors of the application"][0] == "none"
    assert "&lt;down&gt;" in table._repr_mimebundle_()["text/html"]

    longest = max(felt[0].worst_read_ms, felt[1].worst_read_ms)
    rows = dict(
        (line.split(" | ")[0], line.split(" | ")[1:])
        for line in str(compare({"both": felt}, rows_wrong=[1200])).splitlines()
    )
    assert rows["longest read stall"] == [milliseconds(longest)], (
        "a way of several releases is as bad as the worst of them"
    )
    assert rows["rows wrong"] == ["1,200"]
    with pytest.raises(UserError, match="2 ways and 1 numbers of rows_wrong. Give one for each way."):
        compare({"up": felt[0], "down": felt[1]}, rows_wrong=[0])


FAILING = """%%writefile migrations/versions/0004_failing.py
from alembic import op

revision = "0004_failing"
down_revision = "0003_orders"


def upgrade():
    op.execute("ALTER TABLE users ADD COLUMN city text")
    op.execute("SELECT 1 / 0")


def downgrade():
    pass
"""


def test_a_notebook_shows_the_trace_and_then_the_error(shell):
    """`%xray` of a migration that fails: what it did before it failed is what one needs to see."""
    shell("%lesson 02")
    shell(FAILING)
    for cell in ("%xray upgrade head", "%%traffic users\n%alembic upgrade head"):
        ran = shell(cell)
        assert "division by zero" in str(ran.error)
        assert last_trace().transactions[-1].outcome == "rolled back"
        assert "ALTER TABLE users ADD COLUMN city text" in ran.text
