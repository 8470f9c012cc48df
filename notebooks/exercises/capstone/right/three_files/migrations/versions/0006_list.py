"""Tuesday: support's list

Revision ID: 0006_list
Revises: 0005_tuesday
Create Date: 2026-03-03 10:00:00.000000

"""

from alembic import op

revision = "0006_list"
down_revision = "0005_tuesday"
branch_labels = None
depends_on = None

INDEX = """
    CREATE INDEX CONCURRENTLY ix_orders_pending ON orders (user_id, created_at DESC)
    INCLUDE (id, total_cents, currency) WHERE status = 'pending'"""


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_orders_pending")
        op.execute(INDEX)
        op.execute("SET lock_timeout = '300ms'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY ix_orders_pending")
