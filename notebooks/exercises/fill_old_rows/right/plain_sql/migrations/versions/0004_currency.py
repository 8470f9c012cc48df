"""Add the currency of a price

Revision ID: 0004_currency
Revises: 0003_orders
Create Date: 2026-01-12 10:00:00.000000

"""

from alembic import op

revision = "0004_currency"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE products ADD COLUMN currency varchar(3) NOT NULL DEFAULT 'EUR'"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE products DROP COLUMN currency")
