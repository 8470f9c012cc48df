"""Call the total of an order its amount

Revision ID: 0004_amount
Revises: 0003_orders
Create Date: 2026-02-16 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0004_amount"
down_revision = "0003_orders"
branch_labels = None
depends_on = None

def upgrade() -> None:
    op.add_column("orders", sa.Column("amount", sa.Numeric(precision=10, scale=2), nullable=True))
    op.execute("UPDATE orders SET amount = total")


def downgrade() -> None:
    op.drop_column("orders", "amount")
