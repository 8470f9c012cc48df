"""Let each review belong to a product

Revision ID: 0005_product_key
Revises: 0004_reviews
Create Date: 2026-01-22 10:00:00.000000

"""

from alembic import op

revision = "0005_product_key"
down_revision = "0004_reviews"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("reviews") as reviews:
        reviews.create_foreign_key(
            "fk_reviews_product_id",
            "products",
            ["product_id"],
            ["id"],
            postgresql_not_valid=True,
        )


def downgrade() -> None:
    op.drop_constraint("fk_reviews_product_id", "reviews")
