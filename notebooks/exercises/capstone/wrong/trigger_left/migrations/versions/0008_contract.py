"""Thursday: old code is gone

Revision ID: 0008_contract
Revises: 0007_index
Create Date: 2026-03-05 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0008_contract"
down_revision = "0007_index"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_column("orders", "total")


def downgrade() -> None:
    op.add_column("orders", sa.Column("total", sa.Numeric(precision=10, scale=2), nullable=True))
    op.execute("UPDATE orders SET total = total_cents / 100.0")
    op.alter_column("orders", "total", nullable=False)
