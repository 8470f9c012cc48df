"""Make the age of a user required

Revision ID: 0006_age_done
Revises: 0005_age_validated
Create Date: 2026-02-10 10:00:00.000000

"""

from alembic import op

revision = "0006_age_done"
down_revision = "0005_age_validated"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE users ALTER COLUMN age SET NOT NULL, DROP CONSTRAINT ck_users_age")


def downgrade() -> None:
    op.create_check_constraint("ck_users_age", "users", "age IS NOT NULL", postgresql_not_valid=True)
    op.alter_column("users", "age", nullable=True)
