"""Build a unique index on order and product

Revision ID: 0005_one_line_each
Revises: 0004_order_items
Create Date: 2026-03-17 10:00:00.000000

"""

from alembic import op

revision = "0005_one_line_each"
down_revision = "0004_order_items"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")  # a timeout would leave an INVALID index
        op.drop_index(
            "uq_order_items_order_product", if_exists=True, postgresql_concurrently=True
        )
        op.create_index(
            "uq_order_items_order_product",
            "order_items",
            ["order_id", "product_id"],
            unique=True,
            postgresql_concurrently=True,
        )
        op.execute("RESET lock_timeout")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(
            "uq_order_items_order_product", if_exists=True, postgresql_concurrently=True
        )
