"""A row for each tag of a product

Revision ID: 0005_product_tags
Revises: 0004_tags
Create Date: 2026-01-27 10:00:00.000000

"""

from alembic import op

revision = "0005_product_tags"
down_revision = "0004_tags"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE product_tags AS
            SELECT DISTINCT id AS product_id, unnest(tags)::varchar(50) AS tag
            FROM products;
        ALTER TABLE product_tags
            ALTER COLUMN product_id SET NOT NULL,
            ALTER COLUMN tag SET NOT NULL,
            ADD PRIMARY KEY (tag, product_id),
            ADD FOREIGN KEY (product_id) REFERENCES products ON DELETE CASCADE;
        CREATE INDEX ix_product_tags_product_id ON product_tags (product_id);
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE product_tags")
