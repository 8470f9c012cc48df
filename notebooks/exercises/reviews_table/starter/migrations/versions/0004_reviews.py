"""Add reviews of products

Revision ID: 0004_reviews
Revises: 0003_orders
Create Date: 2026-01-12 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0004_reviews"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reviews",
        # TODO: the columns and the primary key
    )


def downgrade() -> None:
    op.drop_table("reviews")
