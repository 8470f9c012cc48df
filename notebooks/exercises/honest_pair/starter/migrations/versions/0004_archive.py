"""Archive products: a flag and a time. It has run; the application has been at work since

Revision ID: 0004_archive
Revises: 0003_orders
Create Date: 2026-01-12 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0004_archive"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("products", sa.Column("is_deleted", sa.Boolean(), nullable=False, server_default="false"))
    op.add_column("products", sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True))
    # What the application has written since, the contradictions too.
    op.execute("UPDATE products SET is_deleted = true, deleted_at = '2025-11-03 12:00:00+00' WHERE id <= 50")
    op.execute("UPDATE products SET deleted_at = NULL WHERE id <= 7")
    op.execute("UPDATE products SET deleted_at = '2025-12-06 08:30:00+00' WHERE id BETWEEN 51 AND 55")


def downgrade() -> None:
    op.drop_column("products", "deleted_at")
    op.drop_column("products", "is_deleted")
