"""Add a note to an item

Revision ID: TODO
Revises: TODO
Create Date: 2026-01-13 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "TODO"
down_revision = "TODO"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("items", sa.Column("note", sa.String(length=200), nullable=True))


def downgrade() -> None:
    op.drop_column("items", "note")
