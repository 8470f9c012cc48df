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
    # TODO: the index ix_orders_created_at on orders (created_at), while the shop goes on selling
    pass


def downgrade() -> None:
    # TODO
    pass
