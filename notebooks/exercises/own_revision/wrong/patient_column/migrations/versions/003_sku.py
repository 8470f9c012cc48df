"""Give an item a sku

Locks: ACCESS EXCLUSIVE on example_items, for a moment: nothing is read or rewritten.
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
    op.execute("SET lock_timeout = 0")
    op.add_column("example_items", sa.Column("sku", sa.Text(), nullable=True))
    op.create_check_constraint(
        "sku_1_to_20_characters",
        "example_items",
        "char_length(sku) BETWEEN 1 AND 20",
        postgresql_not_valid=True,
    )


def downgrade() -> None:
    op.drop_column("example_items", "sku")  # and with it its check
