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
        sa.Column("id", sa.BIGINT(), sa.Identity()),
        sa.Column("product_id", sa.INTEGER(), nullable=False),
        sa.Column("title", sa.Unicode(80), nullable=False),
        sa.Column("body", sa.UnicodeText()),
        sa.Column("rating", sa.DECIMAL(2, 1), nullable=False),
    )
    op.create_primary_key("pk_reviews", "reviews", ["id"])
    op.alter_column("reviews", "rating", comment="Stars, from 0.5 to 5.0")
    helpful = sa.Column("helpful", sa.INTEGER(), server_default=sa.text("0"))
    published = sa.Column("published", sa.BOOLEAN(), server_default=sa.text("false"))
    for column in (helpful, published):
        op.add_column("reviews", column)
        op.alter_column("reviews", column.name, nullable=False)


def downgrade() -> None:
    op.drop_table("reviews")
