"""Prove it of the orders that are there

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
    op.execute("ALTER TABLE orders VALIDATE CONSTRAINT ck_orders_status_both")


def downgrade() -> None:
    pass  # a proof is nothing to take back
