"""Deliver the first ten orders to lockers

Revision ID: 0006_first_lockers
Revises: 0005_locker
Create Date: 2026-02-20 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0006_first_lockers"
down_revision = "0005_locker"
branch_labels = None
depends_on = None

orders = sa.table("orders", sa.column("id"), sa.column("delivery"))


def upgrade() -> None:
    update = sa.update(orders).values(delivery=sa.text("'locker'"))
    op.execute(update.where(orders.c.id <= 10))


def downgrade() -> None:
    pass
