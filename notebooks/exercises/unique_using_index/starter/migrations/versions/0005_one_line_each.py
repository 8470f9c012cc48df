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
    # TODO: the unique constraint uq_order_items_order_product on (order_id, product_id), while items are written
    pass


def downgrade() -> None:
    # TODO
    pass
