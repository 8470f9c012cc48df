"""Add example_items

Revision ID: 0001_example_items
Revises:
Create Date: 2026-01-12 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0001_example_items"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "example_items",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def downgrade() -> None:
    op.drop_table("example_items")
