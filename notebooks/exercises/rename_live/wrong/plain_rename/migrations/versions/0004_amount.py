"""Call the total of an order its amount

Revision ID: 0004_amount
Revises: 0003_orders
Create Date: 2026-02-16 10:00:00.000000

"""

from alembic import op

revision = "0004_amount"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("orders", "total", new_column_name="amount")


def downgrade() -> None:
    op.alter_column("orders", "amount", new_column_name="total")
