"""Add the items of an order

Revision ID: 0004_order_items
Revises: 0003_orders
Create Date: 2026-03-16 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0004_order_items"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # TODO: what the key is called, what an item may be, who finds it, and which parent is locked when
    op.create_table(
        "order_items",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("product_id", sa.Integer(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("unit_price", sa.Numeric(10, 2), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("order_items")
