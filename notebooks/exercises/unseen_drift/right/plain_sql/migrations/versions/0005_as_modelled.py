"""Bring coupons to what models.py says

Revision ID: 0005_as_modelled
Revises: 0004_coupons
Create Date: 2026-02-05 10:00:00.000000

"""

from alembic import op

revision = "0005_as_modelled"
down_revision = "0004_coupons"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE coupons
            ALTER COLUMN percent SET DEFAULT 10,
            DROP CONSTRAINT ck_coupons_percent,
            ADD CONSTRAINT ck_coupons_percent CHECK (percent >= 1 AND percent <= 90);
        DROP INDEX uq_coupons_code_unused;
        CREATE UNIQUE INDEX uq_coupons_code_unused
            ON coupons (code) WHERE used_at IS NULL;
        """
    )


def downgrade() -> None:
    op.execute(
        """
        ALTER TABLE coupons
            ALTER COLUMN percent SET DEFAULT 0,
            DROP CONSTRAINT ck_coupons_percent,
            ADD CONSTRAINT ck_coupons_percent CHECK (percent <= 90);
        DROP INDEX uq_coupons_code_unused;
        CREATE UNIQUE INDEX uq_coupons_code_unused
            ON coupons (code) WHERE used_at IS NOT NULL;
        """
    )
