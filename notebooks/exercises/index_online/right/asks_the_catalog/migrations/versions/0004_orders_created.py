"""Index the orders by date

Revision ID: 0004_orders_created
Revises: 0003_orders
Create Date: 2026-02-16 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0004_orders_created"
down_revision = "0003_orders"
branch_labels = None
depends_on = None

INVALID = """
    SELECT 1 FROM pg_index
    WHERE indexrelid = to_regclass('ix_orders_created_at') AND NOT indisvalid"""


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")  # a timeout would leave one more
        if op.get_bind().scalar(sa.text(INVALID)):
            op.drop_index("ix_orders_created_at", postgresql_concurrently=True)
        op.create_index(
            "ix_orders_created_at",
            "orders",
            ["created_at"],
            postgresql_concurrently=True,
            if_not_exists=True,
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index("ix_orders_created_at", postgresql_concurrently=True)
