"""Give names more room, and times a zone

Revision ID: 0004_types
Revises: 0003_orders
Create Date: 2026-03-11 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0004_types"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # TODO: users.name varchar(200), products.name text, orders.created_at timestamptz
    pass


def downgrade() -> None:
    # TODO
    pass
