"""A check for both words

Revision ID: 0006_proof
Revises: 0005_both_words
Create Date: 2026-02-24 12:00:00.000000

"""

from alembic import op

revision = "0006_proof"
down_revision = "0005_both_words"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_check_constraint(
        "ck_orders_status_both",
        "orders",
        "status IN ('pending', 'processing', 'complete', 'completed', 'cancelled')",
        postgresql_not_valid=True,
    )


def downgrade() -> None:
    op.drop_constraint("ck_orders_status_both", "orders")
