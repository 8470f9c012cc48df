"""How Alembic reaches the database."""

import os

from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine(
    os.environ["DATABASE_URL"],
    poolclass=pool.NullPool,
    connect_args={"options": "-c lock_timeout=300ms"},
)

with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
