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
    # TODO: the key fk_reviews_product_id, and what the column needs besides
    pass


def downgrade() -> None:
    # TODO
    pass
