"""Let an order have a product once

Revision ID: 0006_constraint
Revises: 0005_one_line_each
Create Date: 2026-03-17 10:00:00.000000

"""

from alembic import op

revision = "0006_constraint"
down_revision = "0005_one_line_each"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE order_items ADD CONSTRAINT uq_order_items_order_product"
        " UNIQUE USING INDEX uq_order_items_order_product"
    )


def downgrade() -> None:
    op.drop_constraint("uq_order_items_order_product", "order_items")  # and its index
