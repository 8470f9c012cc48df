"""Tuesday: what new code needs, beside what old code has

Revision ID: 0005_expand
Revises: 0004_busy_day
Create Date: 2026-03-03 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0005_expand"
down_revision = "0004_busy_day"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("orders", sa.Column("currency", sa.Text(), nullable=False, server_default="EUR"))
    op.create_check_constraint("ck_orders_currency", "orders", "currency ~ '^[A-Z]{3}$'", postgresql_not_valid=True)
    op.add_column("orders", sa.Column("total_cents", sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("orders", "total_cents")
    op.drop_column("orders", "currency")
