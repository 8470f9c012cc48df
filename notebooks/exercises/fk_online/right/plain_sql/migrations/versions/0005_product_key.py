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

INDEX = """
    CREATE INDEX CONCURRENTLY ix_reviews_product_id ON reviews (product_id, id)"""
KEY = """
    ALTER TABLE reviews ADD CONSTRAINT fk_reviews_product_id
    FOREIGN KEY (product_id) REFERENCES products (id) ON DELETE RESTRICT NOT VALID"""


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(INDEX)
    op.execute(KEY)


def downgrade() -> None:
    op.execute("ALTER TABLE reviews DROP CONSTRAINT fk_reviews_product_id")
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY ix_reviews_product_id")
