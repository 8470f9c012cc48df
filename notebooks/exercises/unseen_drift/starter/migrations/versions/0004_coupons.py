"""Add coupons

Revision ID: 0004_coupons
Revises: 0003_orders
Create Date: 2026-02-04 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0004_coupons"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Applied everywhere: leave this as it is."""
    op.create_table(
        "coupons",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=20), nullable=False),
        sa.Column("percent", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_coupons"),
        sa.CheckConstraint("percent <= 90", name="ck_coupons_percent"),
    )
    op.create_index(
        "uq_coupons_code_unused", "coupons", ["code"], unique=True, postgresql_where=sa.text("used_at IS NOT NULL")
    )


def downgrade() -> None:
    op.drop_table("coupons")
