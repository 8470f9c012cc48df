"""Let an order have a product once

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
    op.execute("SET lock_timeout = 0")  # a timeout would leave an INVALID index behind
    with op.get_context().autocommit_block():
        op.drop_index(
            "uq_order_items_order_product", "order_items", if_exists=True, postgresql_concurrently=True
        )  # a try that broke off has left it
        op.create_index(
            "uq_order_items_order_product",
            "order_items",
            ["order_id", "product_id"],
            unique=True,
            postgresql_concurrently=True,
        )
    op.execute("RESET lock_timeout")  # the next statement is one behind which all others queue
    op.execute(
        "ALTER TABLE order_items ADD CONSTRAINT uq_order_items_order_product"
        " UNIQUE USING INDEX uq_order_items_order_product"
    )


def downgrade() -> None:
    op.drop_constraint("uq_order_items_order_product", "order_items", type_="unique")
