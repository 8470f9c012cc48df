"""Add the city of a user

Revision ID: 0004_city
Revises: 0003_orders
Create Date: 2026-01-12 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0004_city"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("users") as users:
        users.add_column(sa.Column("city", sa.VARCHAR(50)))


def downgrade() -> None:
    with op.batch_alter_table("users") as users:
        users.drop_column("city")
