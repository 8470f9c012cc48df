"""Find the page of a user's open orders

Revision ID: 0004_page
Revises: 0003_orders
Create Date: 2026-01-19 12:00:00.000000

"""

from alembic import op

revision = "0004_page"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "CREATE INDEX ix_orders_open ON orders (user_id, created_at DESC, id DESC)"
        " INCLUDE (total) WHERE status = 'pending'"
    )


def downgrade() -> None:
    op.execute("DROP INDEX ix_orders_open")
