"""The numbers of the users that are there

Revision ID: 0006_old_ages
Revises: 0005_age_int
Create Date: 2026-03-10 10:00:00.000000

"""

from alembic import op

revision = "0006_old_ages"
down_revision = "0005_age_int"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("UPDATE users SET age_int = age_number(age)")


def downgrade() -> None:
    pass  # 0005_age_int drops the column
