"""A row for each tag of a product

Revision ID: 0005_product_tags
Revises: 0004_tags
Create Date: 2026-01-27 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0005_product_tags"
down_revision = "0004_tags"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "product_tags",
        sa.Column("product_id", sa.Integer(), nullable=False),
        sa.Column("tag", sa.String(50), nullable=False),
        sa.UniqueConstraint("product_id", "tag", name="uq_product_tags"),
        sa.ForeignKeyConstraint(["product_id"], ["products.id"], "fk_product_tags"),
        sa.Index("ix_product_tags_tag", "tag", postgresql_using="hash"),
    )
    op.execute(
        "INSERT INTO product_tags (product_id, tag)"
        " SELECT id, unnest(tags) FROM products ON CONFLICT DO NOTHING"
    )


def downgrade() -> None:
    op.drop_table("product_tags")
