"""Prove the wider check, and drop the old one

Revision ID: 0006_one_check
Revises: 0005_both_words
Create Date: 2026-02-24 11:00:00.000000

"""

from alembic import op

revision = "0006_one_check"
down_revision = "0005_both_words"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE orders VALIDATE CONSTRAINT ck_orders_status_both")
    op.drop_constraint("ck_orders_status", "orders")


def downgrade() -> None:
    op.create_check_constraint(
        "ck_orders_status",
        "orders",
        "status IN ('pending', 'processing', 'complete', 'cancelled')",
    )
