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
    op.add_column("users", sa.Column("phone", sa.String(length=20), nullable=True, server_default=""))


def downgrade() -> None:
    op.drop_column("users", "phone")
