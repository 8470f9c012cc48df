"""Index the product of a review

Revision ID: 0007_product_index
Revises: 0006_validate
Create Date: 2026-01-22 10:00:00.000000

"""

from alembic import op

revision = "0007_product_index"
down_revision = "0006_validate"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(
            "ix_reviews_product_id",
            "reviews",
            ["product_id"],
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index("ix_reviews_product_id", postgresql_concurrently=True)
