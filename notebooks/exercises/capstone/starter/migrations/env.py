"""How Alembic reaches the database: a transaction for each revision, and out of the way of whoever has a lock."""

import os
import time
from logging.config import fileConfig

from alembic import context
from sqlalchemy import create_engine, pool
from sqlalchemy.exc import OperationalError

fileConfig(context.config.config_file_name)

LOCK_NOT_AVAILABLE = "55P03"
TRIES = 20


def migrate(connection) -> None:
    connection.exec_driver_sql("SET lock_timeout = '300ms'")
    connection.commit()  # or Alembic takes this transaction for the caller's, and commits nothing
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


def run_migrations_offline() -> None:
    context.configure(url=os.environ["DATABASE_URL"], literal_binds=True, dialect_opts={"paramstyle": "named"})
    with context.begin_transaction():
        context.run_migrations()


def run_migrations_online() -> None:
    engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)
    for attempt in range(1, TRIES + 1):
        try:
            with engine.connect() as connection:
                migrate(connection)
            return
        except OperationalError as error:
            if error.orig.sqlstate != LOCK_NOT_AVAILABLE or attempt == TRIES:
                raise
            time.sleep(0.2)


if context.is_offline_mode():
    run_migrations_offline()
else:
    run_migrations_online()
