"""Give an item a sku

Locks: ACCESS EXCLUSIVE on example_items, for a moment: nothing is read.
Back: every sku is lost.

Revision ID: 003_sku
Revises: 002_items
Create Date: 2026-04-20 10:00:00.000000+00:00

"""

from alembic import op

# revision identifiers, used by Alembic
revision = "003_sku"
down_revision = "002_items"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE example_items
            ADD COLUMN sku text,
            ADD CONSTRAINT ck_example_items_sku_1_to_20_characters
                CHECK (char_length(sku) BETWEEN 1 AND 20) NOT VALID
        """
    )


def downgrade() -> None:
    op.execute("ALTER TABLE example_items DROP COLUMN sku")  # and with it its check
