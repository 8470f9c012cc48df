"""Add a note to an item

Revision ID: 0002_item_note
Revises: 0001_items
Create Date: 2026-01-13 10:00:00.000000

"""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = Path(__file__).stem
down_revision = ("0001_items",)
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("items", sa.Column("note", sa.String(length=200), nullable=True))


def downgrade() -> None:
    op.drop_column("items", "note")
