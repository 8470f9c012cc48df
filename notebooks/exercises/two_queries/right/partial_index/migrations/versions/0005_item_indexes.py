"""Index the tag page and the warranty page

Revision ID: 0005_item_indexes
Revises: 0004_items
Create Date: 2026-01-27 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0005_item_indexes"
down_revision = "0004_items"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_items_tags",
            "items",
            ["tags"],
            postgresql_using="gin",
            postgresql_concurrently=True,
        )
        op.create_index(
            "ix_items_warranty",
            "items",
            ["id"],
            postgresql_where=sa.text("metadata ? 'warranty'"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index("ix_items_warranty", postgresql_concurrently=True)
        op.drop_index("ix_items_tags", postgresql_concurrently=True)
