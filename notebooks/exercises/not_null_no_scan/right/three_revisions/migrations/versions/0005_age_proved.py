"""Prove that every user has an age

Revision ID: 0005_age_proved
Revises: 0004_age_required
Create Date: 2026-02-10 10:00:00.000000

"""

from alembic import op

revision = "0005_age_proved"
down_revision = "0004_age_required"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE users VALIDATE CONSTRAINT ck_users_age")


def downgrade() -> None:
    pass  # 0004_age_required drops the check
