"""Deliver to lockers

Revision ID: 0005_locker
Revises: 0004_delivery
Create Date: 2026-02-20 10:00:00.000000

"""

from alembic import op

revision = "0005_locker"
down_revision = "0004_delivery"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("ALTER TYPE delivery ADD VALUE IF NOT EXISTS 'locker' BEFORE 'post'")
        op.execute("UPDATE orders SET delivery = 'locker' WHERE id BETWEEN 1 AND 10")


def downgrade() -> None:
    pass  # a value that is in use can't be taken out without a rewrite
