"""A wider check beside the old one

Revision ID: 0005_both_words
Revises: 0004_status_check
Create Date: 2026-02-24 11:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0005_both_words"
down_revision = "0004_status_check"
branch_labels = None
depends_on = None


def upgrade() -> None:
    words = ["pending", "processing", "complete", "completed", "cancelled"]
    op.create_check_constraint(
        "ck_orders_status_both",
        "orders",
        sa.column("status").in_(words),
        postgresql_not_valid=True,
    )


def downgrade() -> None:
    op.drop_constraint("ck_orders_status_both", "orders")
