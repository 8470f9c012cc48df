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
    op.create_check_constraint(
        "price_positive", "products", "price BETWEEN 0.01 AND 99999999.99"
    )


def downgrade() -> None:
    op.drop_constraint("price_positive", "products", type_="check")
