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
    currency = sa.Column("currency", sa.VARCHAR(3), server_default=sa.text("'EUR'"))
    op.add_column("products", currency)
    op.alter_column("products", "currency", nullable=False)


def downgrade() -> None:
    with op.batch_alter_table("products") as products:
        products.drop_column("currency")
