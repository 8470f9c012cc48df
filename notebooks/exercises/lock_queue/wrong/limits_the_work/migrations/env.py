"""How Alembic reaches the database."""

import os
import time

from alembic import context
from sqlalchemy import create_engine, pool
from sqlalchemy.exc import DBAPIError

engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)
WORTH_ANOTHER_TRY = {"57014", "40P01"}  # query_canceled, deadlock_detected


def migrate(connection) -> None:
    connection.exec_driver_sql("SET statement_timeout = '500ms'")
    connection.commit()
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


for pause in (0.5, 1, 1, None):
    try:
        with engine.connect() as connection:
            migrate(connection)
        break
    except DBAPIError as error:
        if pause is None or getattr(error.orig, "sqlstate", None) not in WORTH_ANOTHER_TRY:
            raise
        time.sleep(pause)
