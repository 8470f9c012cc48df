"""Make one history again

Revision ID: 0005_one_history
Revises: 0004_city, 0004_phone
Create Date: 2026-02-06 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0005_one_history"
down_revision = ("0004_city", "0004_phone")
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("phone", sa.String(length=20), nullable=True))
    op.add_column("users", sa.Column("city", sa.String(length=50), nullable=True))


def downgrade() -> None:
    op.drop_column("users", "city")
    op.drop_column("users", "phone")
