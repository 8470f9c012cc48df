"""How Alembic reaches the database."""

import os

from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)

with engine.connect() as connection:
    # configure() comes first: it leaves a transaction alone that was open before.
    context.configure(connection=connection, transaction_per_migration=True)
    connection.exec_driver_sql("SET lock_timeout = '300ms'")
    with context.begin_transaction():
        context.run_migrations()
