"""Index the orders by date

Revision ID: 0004_orders_created
Revises: 0003_orders
Create Date: 2026-02-16 10:00:00.000000

"""

from alembic import op

revision = "0004_orders_created"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX CONCURRENTLY ix_orders_created_at ON orders (created_at)")


def downgrade() -> None:
    op.drop_index("ix_orders_created_at", "orders")
