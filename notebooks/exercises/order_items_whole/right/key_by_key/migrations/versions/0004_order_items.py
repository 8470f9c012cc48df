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

KEYS = {
    "fk_order_items_order_id": ("order_id", "orders", "CASCADE"),
    "fk_order_items_product_id": ("product_id", "products", "RESTRICT"),
}


def upgrade() -> None:
    op.create_table(
        "order_items",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("product_id", sa.Integer(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("unit_price", sa.Numeric(10, 2), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_order_items"),
        sa.CheckConstraint("quantity > 0", name="ck_order_items_quantity"),
        sa.CheckConstraint("unit_price >= 0", name="ck_order_items_unit_price"),
        if_not_exists=True,  # the next try after a lock timeout finds it
    )
    op.create_index(
        "uq_order_items_order_product",
        "order_items",
        ["order_id", "product_id"],
        unique=True,
        if_not_exists=True,
    )
    op.create_index(
        "ix_order_items_product_id", "order_items", ["product_id"], if_not_exists=True
    )
    with op.get_context().autocommit_block():
        for name, (column, parent, rule) in KEYS.items():
            op.drop_constraint(name, "order_items", if_exists=True)
            op.create_foreign_key(
                name, "order_items", parent, [column], ["id"], ondelete=rule
            )


def downgrade() -> None:
    op.drop_table("order_items")
