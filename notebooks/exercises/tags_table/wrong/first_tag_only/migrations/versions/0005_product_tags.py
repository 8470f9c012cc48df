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
        sa.Column("tag", sa.String(length=50), nullable=False),
        sa.PrimaryKeyConstraint("product_id", "tag", name="pk_product_tags"),
        sa.ForeignKeyConstraint(
            ["product_id"], ["products.id"], name="fk_product_tags_product_id_products", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_product_tags_tag", "product_tags", ["tag"])
    op.execute("INSERT INTO product_tags SELECT id, tags[1] FROM products WHERE tags[1] IS NOT NULL")


def downgrade() -> None:
    op.drop_table("product_tags")
