"""Let only known words in (leave it as it is)

Revision ID: 0004_status_check
Revises: 0003_orders
Create Date: 2026-02-24 10:00:00.000000

"""

from alembic import op

revision = "0004_status_check"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_check_constraint("ck_orders_status", "orders", "status IN ('pending', 'processing', 'complete', 'cancelled')")


def downgrade() -> None:
    op.drop_constraint("ck_orders_status", "orders")
