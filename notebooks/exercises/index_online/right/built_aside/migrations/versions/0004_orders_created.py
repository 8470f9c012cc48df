"""Index the orders by date

Revision ID: 0004_orders_created
Revises: 0003_orders
Create Date: 2026-02-16 10:00:00.000000

"""

from alembic import op

revision = "0004_orders_created"
down_revision = "0003_orders"
branch_labels = None
depends_on = None

BUILD = """
    CREATE INDEX CONCURRENTLY ix_orders_created_at_new ON orders (created_at)"""
RENAME = "ALTER INDEX ix_orders_created_at_new RENAME TO ix_orders_created_at"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_orders_created_at_new")
        op.execute(BUILD)
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_orders_created_at")
        op.execute(RENAME)


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY ix_orders_created_at")
