"""How Alembic reaches the database."""

import os
import time

from alembic import context
from sqlalchemy import create_engine, event, pool
from sqlalchemy.exc import DBAPIError

TRIES = 20
PASSING = ("55P03", "40P01")  # lock_not_available, deadlock_detected

engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)


@event.listens_for(engine, "connect")
def give_up_soon(session, _) -> None:
    session.execute("SET lock_timeout = '250ms'")
    session.commit()


def migrate() -> None:
    with engine.connect() as connection:
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()


for attempt in range(1, TRIES + 1):
    try:
        migrate()
        break
    except DBAPIError as error:
        passing = getattr(error.orig, "sqlstate", None) in PASSING
        if not passing or attempt == TRIES:
            raise
    time.sleep(0.75)
