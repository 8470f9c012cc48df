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


def replace(default: str, rule: str, condition: str) -> None:
    """Make the new check and index beside the old ones, which then give way."""
    op.create_check_constraint("ck_coupons_new", "coupons", rule)
    op.drop_constraint("ck_coupons_percent", "coupons", type_="check")
    op.execute(
        "ALTER TABLE coupons RENAME CONSTRAINT ck_coupons_new TO ck_coupons_percent"
    )
    where = sa.text(condition)
    op.create_index(
        "uq_coupons_new", "coupons", ["code"], unique=True, postgresql_where=where
    )
    op.drop_index("uq_coupons_code_unused", "coupons")
    op.execute("ALTER INDEX uq_coupons_new RENAME TO uq_coupons_code_unused")
    op.alter_column("coupons", "percent", server_default=default)


def upgrade() -> None:
    replace("10", "percent BETWEEN 1 AND 90", "used_at IS NULL")


def downgrade() -> None:
    replace("0", "percent <= 90", "used_at IS NOT NULL")
