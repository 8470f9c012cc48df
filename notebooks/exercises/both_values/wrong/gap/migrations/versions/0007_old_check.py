"""Prove it

Revision ID: 0007_old_check
Revises: 0006_proof
Create Date: 2026-02-24 13:00:00.000000

"""

from alembic import op

revision = "0007_old_check"
down_revision = "0006_proof"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE orders VALIDATE CONSTRAINT ck_orders_status_both")


def downgrade() -> None:
    pass
