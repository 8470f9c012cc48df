"""Let people close their account (leave it as it is)

Revision ID: 0004_closed_accounts
Revises: 0003_orders
Create Date: 2026-01-26 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0004_closed_accounts"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE users SET deleted_at = '2026-01-25 18:00:00+00' WHERE id = 10")


def downgrade() -> None:
    op.drop_column("users", "deleted_at")
