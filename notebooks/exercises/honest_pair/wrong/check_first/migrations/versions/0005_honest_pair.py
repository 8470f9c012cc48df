"""Make is_deleted and deleted_at agree

Revision ID: 0005_honest_pair
Revises: 0004_archive
Create Date: 2026-01-12 11:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0005_honest_pair"
down_revision = "0004_archive"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_check_constraint("ck_products_deleted", "products", "is_deleted = (deleted_at IS NOT NULL)")


def downgrade() -> None:
    op.drop_constraint("ck_products_deleted", "products")
