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
    op.execute("SET lock_timeout = 0")  # a timeout would leave an INVALID index behind
    with op.get_context().autocommit_block():
        op.drop_index("ix_orders_created_at", if_exists=True, postgresql_concurrently=True)
        op.create_index("ix_orders_created_at", "orders", ["created_at"], postgresql_concurrently=True)


def downgrade() -> None:
    op.drop_index("ix_orders_created_at", "orders")
