"""Add reviews of products (leave it as it is)

Revision ID: 0004_reviews
Revises: 0003_orders
Create Date: 2026-01-21 10:00:00.000000

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
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("product_id", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
    )
    op.execute(
        "INSERT INTO reviews (product_id, body) "
        "SELECT 1 + n % 100, 'Review ' || n FROM generate_series(1, 20000) AS n ORDER BY n"
    )


def downgrade() -> None:
    op.drop_table("reviews")
