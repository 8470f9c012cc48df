"""Add the city of a user

Revision ID: 0004_city
Revises: 0004_phone
Create Date: 2026-02-05 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0004_city"
down_revision = "0004_phone"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("city", sa.String(length=50), nullable=True))


def downgrade() -> None:
    op.drop_column("users", "city")
