"""How Alembic reaches the database."""

import os

from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool, isolation_level="AUTOCOMMIT")

with engine.connect() as connection:
    connection.exec_driver_sql("SET lock_timeout = '300ms'")
    connection.commit()
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
