"""Give an item a sku

Locks: ACCESS EXCLUSIVE on example_items, for a moment: nothing is read.
Back: every sku is lost.

Revision ID: 003_sku
Revises: 002_items
Create Date: 2026-04-20 10:00:00.000000+00:00

"""

import sqlalchemy as sa
from alembic import op

# revision identifiers, used by Alembic
revision = "003_sku"
down_revision = "002_items"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("example_items", sa.Column("sku", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("example_items", "sku")
