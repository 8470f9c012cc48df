"""Tuesday: support's list

Revision ID: 0007_index
Revises: 0006_fill
Create Date: 2026-03-03 10:00:00.000000

"""

from alembic import op

revision = "0007_index"
down_revision = "0006_fill"
branch_labels = None
depends_on = None

INDEX = "ix_orders_user_id_status"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
        op.create_index(INDEX, "orders", ["user_id", "status"], postgresql_concurrently=True)
        op.execute("SET lock_timeout = '300ms'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(INDEX, "orders", postgresql_concurrently=True)
