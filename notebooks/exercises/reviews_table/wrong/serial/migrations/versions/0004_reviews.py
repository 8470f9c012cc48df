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
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("product_id", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(length=80), nullable=False),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("rating", sa.Numeric(precision=2, scale=1), nullable=False, comment="Stars, 0.5 to 5.0"),
        sa.Column("helpful", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("published", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
    )


def downgrade() -> None:
    op.drop_table("reviews")
