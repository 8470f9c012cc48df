"""How Alembic reaches the database."""

import os
import time

from alembic import context
from sqlalchemy import create_engine, pool

engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)
REPORTS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle in transaction'"""

with engine.connect() as connection:
    while connection.exec_driver_sql(REPORTS).scalar():
        connection.rollback()
        time.sleep(0.1)
    connection.rollback()
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
