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
    op.create_table(
        "order_items",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("product_id", sa.Integer(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("unit_price", sa.Numeric(10, 2), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_order_items"),
        sa.UniqueConstraint("order_id", "product_id", name="uq_order_items_order_product"),
        sa.CheckConstraint("quantity > 0", name="ck_order_items_quantity_positive"),
        sa.CheckConstraint("unit_price >= 0", name="ck_order_items_unit_price_not_negative"),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], name="fk_order_items_product_id", ondelete="RESTRICT"),
        if_not_exists=True,  # a try that broke off at the orders has left it
    )
    op.create_index("ix_order_items_product_id", "order_items", ["product_id"], if_not_exists=True)
    with op.get_context().autocommit_block():  # lets the products go before the orders are locked
        op.create_foreign_key(
            "fk_order_items_order_id", "order_items", "orders", ["order_id"], ["id"], ondelete="CASCADE"
        )


def downgrade() -> None:
    op.drop_table("order_items")
