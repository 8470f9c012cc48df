"""Add the phone of a user

Revision ID: 0004_phone
Revises: 0003_orders
Create Date: 2026-02-09 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0004_phone"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The next try after a lock timeout finds what this one has left.
    phone = sa.Column("phone", sa.String(length=20), server_default="")
    op.add_column("users", phone, if_not_exists=True)
    op.drop_constraint("ck_users_phone", "users", if_exists=True)
    op.create_check_constraint(
        "ck_users_phone", "users", "phone IS NOT NULL", postgresql_not_valid=True
    )
    with op.get_context().autocommit_block():  # commits, so nobody waits for the proof
        op.execute("ALTER TABLE users VALIDATE CONSTRAINT ck_users_phone")
    op.alter_column("users", "phone", nullable=False)
    op.drop_constraint("ck_users_phone", "users")


def downgrade() -> None:
    op.drop_column("users", "phone")
