"""Prove that each review belongs to a product

Revision ID: 0006_validate
Revises: 0005_product_key
Create Date: 2026-01-22 10:00:00.000000

"""

from alembic import op

revision = "0006_validate"
down_revision = "0005_product_key"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE reviews VALIDATE CONSTRAINT fk_reviews_product_id")


def downgrade() -> None:
    pass  # a key that has been proved stays so
