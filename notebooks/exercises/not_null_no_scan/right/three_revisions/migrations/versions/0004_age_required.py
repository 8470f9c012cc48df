"""New users need an age

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
    op.create_check_constraint(
        "ck_users_age", "users", "age IS NOT NULL", postgresql_not_valid=True
    )


def downgrade() -> None:
    op.drop_constraint("ck_users_age", "users")
