"""Let a live item's sku be its own

Locks: SHARE UPDATE EXCLUSIVE on example_items for as long as it is read; nobody's reads or writes wait.
Back: nothing is lost; two live items may have the same sku again.

Revision ID: 004_sku_live
Revises: 003_sku
Create Date: 2026-04-20 11:00:00.000000+00:00

"""

import sqlalchemy as sa
from alembic import op

# revision identifiers, used by Alembic
revision = "004_sku_live"
down_revision = "003_sku"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE example_items VALIDATE CONSTRAINT ck_example_items_sku_1_to_20_characters")
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")  # a timeout would leave an INVALID index
        op.execute("SET statement_timeout = 0")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS uq_example_items_sku_live")  # what a failed try left
        op.create_index(
            "uq_example_items_sku_live",
            "example_items",
            ["sku"],
            unique=True,
            postgresql_where=sa.text("deleted_at IS NULL"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.execute("SET statement_timeout = 0")
        op.drop_index("uq_example_items_sku_live", "example_items", postgresql_concurrently=True)
