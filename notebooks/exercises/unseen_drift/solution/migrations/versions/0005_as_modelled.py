"""Bring coupons to what models.py says

Revision ID: 0005_as_modelled
Revises: 0004_coupons
Create Date: 2026-02-05 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0005_as_modelled"
down_revision = "0004_coupons"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.alter_column("coupons", "percent", server_default="10")
    op.drop_constraint("ck_coupons_percent", "coupons")
    op.create_check_constraint("ck_coupons_percent", "coupons", "percent BETWEEN 1 AND 90")
    op.drop_index("uq_coupons_code_unused", "coupons")
    op.create_index(
        "uq_coupons_code_unused", "coupons", ["code"], unique=True, postgresql_where=sa.text("used_at IS NULL")
    )


def downgrade() -> None:
    op.alter_column("coupons", "percent", server_default="0")
    op.drop_constraint("ck_coupons_percent", "coupons")
    op.create_check_constraint("ck_coupons_percent", "coupons", "percent <= 90")
    op.drop_index("uq_coupons_code_unused", "coupons")
    op.create_index(
        "uq_coupons_code_unused", "coupons", ["code"], unique=True, postgresql_where=sa.text("used_at IS NOT NULL")
    )
