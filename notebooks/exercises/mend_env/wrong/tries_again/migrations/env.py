"""How Alembic reaches the database."""

import os
import time

from alembic import context
from sqlalchemy import create_engine, pool
from sqlalchemy.exc import OperationalError

engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)

for pause in (1, 2, None):
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("SET lock_timeout = '300ms'")
            connection.commit()
            context.configure(connection=connection, transaction_per_migration=True)
            with context.begin_transaction():
                context.run_migrations()
        break
    except OperationalError:
        if pause is None:
            raise
        time.sleep(pause)
