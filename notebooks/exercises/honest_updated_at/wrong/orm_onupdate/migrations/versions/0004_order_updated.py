"""Say when an order was last updated

Revision ID: 0004_order_updated
Revises: 0003_orders
Create Date: 2026-01-12 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0004_order_updated"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    column = sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True, onupdate=sa.func.now())
    op.add_column("orders", column)


def downgrade() -> None:
    op.drop_column("orders", "updated_at")
