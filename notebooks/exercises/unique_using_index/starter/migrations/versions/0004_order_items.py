"""The items of the orders, without their uniqueness (leave it as it is)

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
    op.create_table(
        "order_items",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("product_id", sa.Integer(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_order_items"),
    )
    op.execute(
        "INSERT INTO order_items (order_id, product_id, quantity)"
        " SELECT id, product, 1 FROM orders, generate_series(1, 3) AS product ORDER BY id, product"
    )


def downgrade() -> None:
    op.drop_table("order_items")
