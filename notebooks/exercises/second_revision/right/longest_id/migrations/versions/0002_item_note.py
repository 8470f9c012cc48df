"""Add a note to an item

Revision ID: 20260113_1000_a_note_for_an_item
Revises: 0001_items
Create Date: 2026-01-13 10:00:00.000000

"""

from alembic import op

revision = "20260113_1000_a_note_for_an_item"
down_revision = "0001_items"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE items ADD COLUMN note varchar(200)")


def downgrade() -> None:
    op.execute("ALTER TABLE items DROP COLUMN note")
