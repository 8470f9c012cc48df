"""Tuesday: the orders that are there

Revision ID: 0006_fill
Revises: 0005_expand
Create Date: 2026-03-03 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0006_fill"
down_revision = "0005_expand"
branch_labels = None
depends_on = None

BATCH = "UPDATE orders SET total_cents = total * 100 WHERE id BETWEEN {} AND {} AND total_cents = 0"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        last = op.get_bind().exec_driver_sql("SELECT max(id) FROM orders").scalar() or 0
        for first in range(1, last + 1, 5_000):
            op.execute(BATCH.format(first, first + 4_999))
        op.execute("ALTER TABLE orders VALIDATE CONSTRAINT ck_orders_currency")
    op.drop_column("orders", "total")


def downgrade() -> None:
    op.add_column("orders", sa.Column("total", sa.Numeric(precision=10, scale=2), nullable=True))
    op.execute("UPDATE orders SET total = total_cents / 100.0")
    op.alter_column("orders", "total", nullable=False)
