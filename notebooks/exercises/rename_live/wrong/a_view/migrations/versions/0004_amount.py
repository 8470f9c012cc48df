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
    op.execute("ALTER TABLE orders RENAME TO orders_kept")
    op.execute("CREATE VIEW orders AS SELECT *, total AS amount FROM orders_kept")


def downgrade() -> None:
    op.execute("DROP VIEW orders")
    op.execute("ALTER TABLE orders_kept RENAME TO orders")
