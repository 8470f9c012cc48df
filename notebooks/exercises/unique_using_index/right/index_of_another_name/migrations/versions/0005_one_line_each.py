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

BUILD = """
    CREATE UNIQUE INDEX CONCURRENTLY order_items_once
    ON order_items (order_id, product_id)"""
TAKE_OVER = """
    ALTER TABLE order_items ADD CONSTRAINT uq_order_items_order_product
    UNIQUE USING INDEX order_items_once"""


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")  # a timeout would leave an INVALID index
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS order_items_once")
        op.execute(BUILD)
    op.execute("RESET lock_timeout")
    op.execute(TAKE_OVER)


def downgrade() -> None:
    op.execute("ALTER TABLE order_items DROP CONSTRAINT uq_order_items_order_product")
