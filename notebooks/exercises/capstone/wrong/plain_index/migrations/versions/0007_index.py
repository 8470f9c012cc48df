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

INDEX = "ix_orders_user_id_status_created_at"


def upgrade() -> None:
    op.create_index(INDEX, "orders", ["user_id", "status", "created_at"])


def downgrade() -> None:
    op.drop_index(INDEX, "orders")
