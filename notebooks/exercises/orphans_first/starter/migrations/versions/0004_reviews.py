"""Add reviews by users (leave it as it is)

Revision ID: 0004_reviews
Revises: 0003_orders
Create Date: 2026-01-23 10:00:00.000000

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
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
    )
    op.create_index("ix_reviews_user_id", "reviews", ["user_id"])
    op.execute(
        "INSERT INTO reviews (user_id, body) SELECT CASE WHEN n % 50 = 0 THEN 5000 + n ELSE n END, 'Review ' || n "
        "FROM generate_series(1, 300) AS n"
    )


def downgrade() -> None:
    op.drop_table("reviews")
