"""Add example_items

Revision ID: 0001_example_items
Revises:
Create Date: 2026-01-12 10:00:00.000000

"""

from alembic import op

revision = "0001_example_items"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
