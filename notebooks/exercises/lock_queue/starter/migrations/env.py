"""How Alembic reaches the database."""

import os
import time

from alembic import context
from sqlalchemy import create_engine, pool
from sqlalchemy.exc import DBAPIError

engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)

# TODO: give up waiting for a lock after a moment, and try again a little later

with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
