"""What the tests of x-ray stand on: a database of their own, and an Alembic project whose files they write."""

from __future__ import annotations

import io
import json
import os
import shutil
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import jsonschema

from migration_lab.server import startstate
from migration_lab.server.postgres import Server, environment
from migration_xray import command
from migration_xray.errors import UserError
from migration_xray.reports import as_html, as_text
from migration_xray.trace import Trace
from migration_xray.watch.events import watching

SCHEMA = jsonschema.Draft202012Validator(
    json.loads((files("migration_xray") / "trace.schema.json").read_text(encoding="utf-8"))
)
MIGRATION = """
import time
import sqlalchemy as sa
from alembic import context, op

revision = "{revision}"
down_revision = {down!r}


def upgrade():
{upgrade}


def downgrade():
{downgrade}
"""


class Stage:
    """A database, a session in it, and a project; ``reset`` gives the next test a clean one of each within milliseconds."""

    def __init__(self, server: Server, database: str, folder: Path):
        self.server, self.database, self.folder = server, database, folder
        startstate.create_database(server, database, "empty")
        self.url = server.database_url(database)
        self.session = server.connect(database)
        self.reset()

    def reset(self, *setup: str) -> None:
        for (name,) in self.session.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_|information'"
        ).fetchall():
            self.session.execute(f'DROP SCHEMA "{name}" CASCADE')
        self.session.execute("CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO public")
        for statement in setup:
            self.session.execute(statement)
        shutil.rmtree(self.folder, ignore_errors=True)
        startstate.lay_project(self.folder, "empty")

    def migration(self, upgrade: str, revision: str = "0001", down: str | None = None, downgrade: str = "pass") -> None:
        """Write a revision whose functions have these bodies."""
        bodies = [textwrap.indent(textwrap.dedent(body).strip(), "    ") for body in (upgrade, downgrade)]
        text = MIGRATION.format(revision=revision, down=down, upgrade=bodies[0], downgrade=bodies[1])
        (self.folder / "migrations" / "versions" / f"{revision}.py").write_text(text, encoding="utf-8")

    def env(self, text: str) -> None:
        (self.folder / "migrations" / "env.py").write_text(textwrap.dedent(text), encoding="utf-8")

    def run(self, *arguments: str) -> str:
        """Run Alembic without x-ray; returns what it printed."""
        output = io.StringIO()
        with startstate.variables(environment(self.url)):
            command.run(arguments or ("upgrade", "head"), self.folder, output)
        return output.getvalue()

    def watch(self, *arguments: str, fails: bool = False) -> Trace:
        """Run Alembic under x-ray; an error is let through unless it is expected."""
        arguments = arguments or ("upgrade", "head")
        failed = False
        with startstate.variables(environment(self.url)):
            try:
                with watching(" ".join(arguments)) as trace:
                    command.run(arguments, self.folder, io.StringIO())
            except UserError:
                failed = True
                if not fails:
                    raise
        assert failed == fails, "the command was expected to fail"
        check(trace)
        return trace

    def upgrade(self, body: str, fails: bool = False) -> Trace:
        """Write the one revision and run it under x-ray."""
        self.migration(body)
        return self.watch(fails=fails)

    def execute(self, *statements: str, fails: bool = False) -> Trace:
        """A migration of these SQL statements in its transaction, under x-ray."""
        return self.upgrade("\n".join(f"op.execute(sa.text({statement!r}))" for statement in statements), fails=fails)

    def count(self, query: str) -> int:
        return self.session.execute(query).fetchone()[0]

    def close(self) -> None:
        self.session.close()
        with self.server.connect() as session:
            startstate.drop_database(session, self.database)


def check(trace: Trace) -> None:
    """Whatever a trace tells of, its JSON is as the schema says, comes back whole, and can be shown."""
    data = json.loads(json.dumps(trace.to_dict()))
    SCHEMA.validate(data)
    assert Trace.from_dict(data).to_dict() == data
    assert as_text(trace) and as_html(trace)


@contextmanager
def on_stage(server: Server, folder: Path) -> Iterator[Stage]:
    stage = Stage(server, f"stage_{os.getpid()}_{folder.name}".replace("-", "_"), folder / "project")
    try:
        yield stage
    finally:
        stage.close()
