"""Tuesday: the orders that are there

Revision ID: 0006_fill
Revises: 0005_expand
Create Date: 2026-03-03 10:00:00.000000

"""

from alembic import op

revision = "0006_fill"
down_revision = "0005_expand"
branch_labels = None
depends_on = None

BATCH = "UPDATE orders SET total_cents = total * 100 WHERE id BETWEEN {} AND {} AND total_cents IS NULL"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")  # a batch may take its time
        last = op.get_bind().exec_driver_sql("SELECT max(id) FROM orders").scalar() or 0
        for first in range(1, last + 1, 5_000):
            op.execute(BATCH.format(first, first + 4_999))
    op.drop_constraint("ck_total_cents", "orders", if_exists=True)  # a try that broke off has left it
    op.create_check_constraint("ck_total_cents", "orders", "total_cents IS NOT NULL", postgresql_not_valid=True)
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE orders VALIDATE CONSTRAINT ck_orders_currency")
        op.execute("ALTER TABLE orders VALIDATE CONSTRAINT ck_total_cents")
    op.alter_column("orders", "total_cents", nullable=False)
    op.drop_constraint("ck_total_cents", "orders")


def downgrade() -> None:
    op.alter_column("orders", "total_cents", nullable=True)
