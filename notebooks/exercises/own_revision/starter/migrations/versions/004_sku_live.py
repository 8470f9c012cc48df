"""Let a live item's sku be its own

Locks: TODO
Back: TODO

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


def upgrade() -> None:
    # TODO: what must not share a transaction with 003_sku
    pass


def downgrade() -> None:
    pass
