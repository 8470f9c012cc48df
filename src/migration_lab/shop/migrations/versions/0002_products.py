"""Add products

Revision ID: 0002_products
Revises: 0001_users
Create Date: 2024-05-21 14:30:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0002_products"
down_revision = "0001_users"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "products",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("price", sa.Numeric(precision=10, scale=2), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_products"),
    )


def downgrade() -> None:
    op.drop_table("products")
