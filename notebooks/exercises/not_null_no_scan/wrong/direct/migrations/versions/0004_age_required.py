"""Make the age of a user required

Revision ID: 0004_age_required
Revises: 0003_orders
Create Date: 2026-02-10 10:00:00.000000

"""

from alembic import op

revision = "0004_age_required"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("users", "age", nullable=False)


def downgrade() -> None:
    op.alter_column("users", "age", nullable=True)
