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
    # TODO: orders.amount is orders.total, whoever writes which of them
    pass


def downgrade() -> None:
    # TODO
    pass
