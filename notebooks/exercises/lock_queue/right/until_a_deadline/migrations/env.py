"""How Alembic reaches the database."""

import os
import random
import time

from alembic import context
from psycopg.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy import create_engine, pool
from sqlalchemy.exc import DBAPIError

engine = create_engine(
    os.environ["DATABASE_URL"],
    poolclass=pool.NullPool,
    connect_args={"options": "-c lock_timeout=350ms"},
)


def migrate() -> None:
    with engine.connect() as connection:
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()


deadline = time.monotonic() + 60
done = False
while not done:
    try:
        migrate()
        done = True
    except DBAPIError as error:
        passing = isinstance(error.orig, (LockNotAvailable, DeadlockDetected))
        if not passing or time.monotonic() > deadline:
            raise
        time.sleep(random.uniform(0.3, 0.9))
