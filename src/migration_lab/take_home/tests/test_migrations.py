"""What must be true of the migrations before a merge, on a database of the tests' own beside DATABASE_URL's.

It is named as that one is, with _migration_tests behind; one of that name is dropped, before and after.
"""

import os
from pathlib import Path

import pytest
from pytest_alembic.tests import (  # noqa: F401
    test_model_definitions_match_ddl,
    test_single_head_revision,
    test_up_down_consistency,
    test_upgrade,
)
from sqlalchemy import create_engine, make_url, pool, text

LEFT = """
    SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname !~ '^alembic_version'
    UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typname !~ 'alembic_version$'
"""


@pytest.fixture
def alembic_config():
    # A revision with no way back: {"file": …, "minimum_downgrade_revision": "its id"}.
    return {"file": str(Path(__file__).parents[1] / "alembic.ini")}


@pytest.fixture
def alembic_engine(monkeypatch):
    url = make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+psycopg")
    own = url.set(database=f"{url.database}_migration_tests")
    with create_engine(url, isolation_level="AUTOCOMMIT", poolclass=pool.NullPool).connect() as session:
        session.exec_driver_sql(f'DROP DATABASE IF EXISTS "{own.database}" WITH (FORCE)')
        session.exec_driver_sql(f'CREATE DATABASE "{own.database}" TEMPLATE template0')
        monkeypatch.setenv("DATABASE_URL", own.render_as_string(hide_password=False))  # which env.py reads
        yield create_engine(own, poolclass=pool.NullPool)
        session.exec_driver_sql(f'DROP DATABASE "{own.database}" WITH (FORCE)')


def test_downgrade_leaves_nothing(alembic_runner, alembic_engine):
    """A type or a function that stays behind fails the next upgrade."""
    alembic_runner.migrate_up_to("heads")
    alembic_runner.migrate_down_to("base")
    with alembic_engine.connect() as session:
        assert session.scalars(text(LEFT)).all() == []
