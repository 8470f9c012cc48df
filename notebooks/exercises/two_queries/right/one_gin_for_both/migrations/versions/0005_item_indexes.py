"""Index the tag page and the warranty page

Revision ID: 0005_item_indexes
Revises: 0004_items
Create Date: 2026-01-27 10:00:00.000000

"""

from alembic import op

revision = "0005_item_indexes"
down_revision = "0004_items"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX ix_items_pages ON items USING gin (metadata, tags)")


def downgrade() -> None:
    op.execute("DROP INDEX ix_items_pages")
