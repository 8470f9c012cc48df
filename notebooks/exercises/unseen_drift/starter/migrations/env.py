"""How Alembic reaches the database: the way `alembic init` writes it, with the URL from the environment."""

import os
from logging.config import fileConfig

from alembic import context
from sqlalchemy import create_engine, pool

from models import Base

fileConfig(context.config.config_file_name)

target_metadata = Base.metadata


def include_object(thing, name, kind, reflected, compare_to) -> bool:
    """Leave the tables alone that models.py does not describe."""
    return kind != "table" or name == "coupons"


def run_migrations_offline() -> None:
    """Write the SQL to standard output instead of running it (`--sql`)."""
    context.configure(
        url=os.environ["DATABASE_URL"],
        target_metadata=target_metadata,
        include_object=include_object,
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
    )
    with context.begin_transaction():
        context.run_migrations()


def run_migrations_online() -> None:
    """Run the migrations on a connection of their own."""
    engine = create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool)
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=target_metadata, include_object=include_object)
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    run_migrations_offline()
else:
    run_migrations_online()
