"""Add the nickname of a user

Revision ID: 0004_nickname
Revises: 0003_orders
Create Date: 2026-02-02 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0004_nickname"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("nickname", sa.String(length=40), nullable=True))


def downgrade() -> None:
    op.drop_column("users", "nickname")
