"""Let the database keep prices positive

Revision ID: 0004_positive_price
Revises: 0003_orders
Create Date: 2026-01-26 10:00:00.000000

"""

from alembic import op

revision = "0004_positive_price"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE products ADD CONSTRAINT ck_products_price_positive"
        " CHECK (price > 0 AND price < 'NaN')"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE products DROP CONSTRAINT ck_products_price_positive")
