"""Use the lockers

Revision ID: 0006_use
Revises: 0005_locker
Create Date: 2026-02-20 10:00:00.000000

"""

from alembic import op

revision = "0006_use"
down_revision = "0005_locker"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("UPDATE orders SET delivery = 'locker' WHERE id <= 10")


def downgrade() -> None:
    pass
