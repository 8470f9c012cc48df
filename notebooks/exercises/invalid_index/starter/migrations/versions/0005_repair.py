"""Repair the unique index on emails

Revision ID: 0005_repair
Revises: 0004_last_night
Create Date: 2026-02-17 10:00:00.000000

"""

from alembic import op

revision = "0005_repair"
down_revision = "0004_last_night"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # TODO: keep the first of each pair of users, and make uq_users_email valid while people go on signing up
    pass


def downgrade() -> None:
    pass  # a broken index is nothing to go back to
