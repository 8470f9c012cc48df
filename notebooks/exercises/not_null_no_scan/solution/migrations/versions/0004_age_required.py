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
    with op.get_context().autocommit_block():  # each of them is committed by itself
        op.drop_constraint("ck_users_age", "users", if_exists=True)  # a try that broke off has left it
        op.create_check_constraint("ck_users_age", "users", "age IS NOT NULL", postgresql_not_valid=True)
        op.execute("ALTER TABLE users VALIDATE CONSTRAINT ck_users_age")
    op.alter_column("users", "age", nullable=False)
    op.drop_constraint("ck_users_age", "users")


def downgrade() -> None:
    op.alter_column("users", "age", nullable=True)
