"""Add the currency of a price

Revision ID: 0004_currency
Revises: 0003_orders
Create Date: 2026-01-12 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0004_currency"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("products", sa.Column("currency", sa.String(length=3), nullable=False, server_default="EUR"))
    op.alter_column("products", "currency", server_default=None)


def downgrade() -> None:
    op.drop_column("products", "currency")
