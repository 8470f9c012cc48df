"""Add reviews of products

Revision ID: 0004_reviews
Revises: 0003_orders
Create Date: 2026-01-12 10:00:00.000000

"""

from alembic import op

revision = "0004_reviews"
down_revision = "0003_orders"
branch_labels = None
depends_on = None

TABLE = """
    CREATE TABLE reviews (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_reviews PRIMARY KEY,
        product_id integer NOT NULL,
        published boolean NOT NULL DEFAULT false,
        rating decimal(2, 1) NOT NULL,
        helpful integer NOT NULL DEFAULT 0,
        title varchar(80) NOT NULL,
        body text
    )"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute("COMMENT ON COLUMN reviews.rating IS 'Stars, from 0.5 to 5.0'")


def downgrade() -> None:
    op.execute("DROP TABLE reviews")
