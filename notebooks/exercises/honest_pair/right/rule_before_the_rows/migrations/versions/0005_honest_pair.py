"""Make is_deleted and deleted_at agree

Revision ID: 0005_honest_pair
Revises: 0004_archive
Create Date: 2026-01-12 11:00:00.000000

"""

from alembic import op

revision = "0005_honest_pair"
down_revision = "0004_archive"
branch_labels = None
depends_on = None

RULE = """
    ALTER TABLE products ADD CONSTRAINT ck_products_deleted CHECK (
        is_deleted AND deleted_at IS NOT NULL OR NOT is_deleted AND deleted_at IS NULL
    ) NOT VALID"""
MEND = """
    UPDATE products SET deleted_at = CASE WHEN is_deleted THEN now() END
    WHERE is_deleted <> (deleted_at IS NOT NULL)"""


def upgrade() -> None:
    op.execute(RULE)
    op.execute(MEND)
    op.execute("ALTER TABLE products VALIDATE CONSTRAINT ck_products_deleted")


def downgrade() -> None:
    op.execute("ALTER TABLE products DROP CONSTRAINT ck_products_deleted")
