"""Find the page of a user's open orders

Revision ID: 0004_page
Revises: 0003_orders
Create Date: 2026-01-19 12:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0004_page"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    newest = [sa.text("created_at DESC"), sa.text("id DESC")]
    op.create_index("ix_orders_status_user", "orders", ["status", "user_id", *newest])


def downgrade() -> None:
    op.drop_index("ix_orders_status_user", "orders")
