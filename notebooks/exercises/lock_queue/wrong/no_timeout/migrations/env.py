"""How Alembic reaches the database."""

import os
import time

from alembic import context
from sqlalchemy import create_engine, pool
from sqlalchemy.exc import DBAPIError

engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)

for pause in (0.5, 1, 2, 4, None):
    try:
        with engine.connect() as connection:
            context.configure(connection=connection, transaction_per_migration=True)
            with context.begin_transaction():
                context.run_migrations()
        break
    except DBAPIError as error:
        if pause is None or getattr(error.orig, "sqlstate", None) not in {"55P03", "40P01"}:
            raise
        time.sleep(pause)
