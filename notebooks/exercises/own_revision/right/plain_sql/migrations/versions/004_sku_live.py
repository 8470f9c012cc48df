"""Let a live item's sku be its own

Locks: SHARE UPDATE EXCLUSIVE on example_items; nobody's reads or writes wait.
Back: nothing is lost; two live items may have the same sku again.

Revision ID: 004_sku_live
Revises: 003_sku
Create Date: 2026-04-20 11:00:00.000000+00:00

"""

from alembic import op

# revision identifiers, used by Alembic
revision = "004_sku_live"
down_revision = "003_sku"
branch_labels = None
depends_on = None

PROOF = """
    ALTER TABLE example_items
    VALIDATE CONSTRAINT ck_example_items_sku_1_to_20_characters"""
BUILD = """
    CREATE UNIQUE INDEX CONCURRENTLY uq_example_items_sku_live
    ON example_items (sku) WHERE deleted_at IS NULL"""


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.execute("SET statement_timeout = 0")
        op.execute(PROOF)
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS uq_example_items_sku_live")
        op.execute(BUILD)


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.execute("SET statement_timeout = 0")
        op.execute("DROP INDEX CONCURRENTLY uq_example_items_sku_live")
