"""Make the age of a user required

Revision ID: 0006_age_not_null
Revises: 0005_age_proved
Create Date: 2026-02-10 10:00:00.000000

"""

from alembic import op

revision = "0006_age_not_null"
down_revision = "0005_age_proved"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("users", "age", nullable=False)
    op.drop_constraint("ck_users_age", "users")


def downgrade() -> None:
    op.alter_column("users", "age", nullable=True)
    op.create_check_constraint(
        "ck_users_age", "users", "age IS NOT NULL", postgresql_not_valid=True
    )
    with op.get_context().autocommit_block():  # 0005_age_proved had proved it
        op.execute("ALTER TABLE users VALIDATE CONSTRAINT ck_users_age")
