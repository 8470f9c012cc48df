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

TOUCH = """
    UPDATE orders SET total = total WHERE id IN (
        SELECT id FROM orders WHERE total_cents IS NULL LIMIT 2000 FOR UPDATE
    )"""


def upgrade() -> None:
    with op.get_context().autocommit_block():
        while op.get_bind().exec_driver_sql(TOUCH).rowcount:
            pass  # the trigger writes the cents of each order that is touched
    op.execute("ALTER TABLE orders DROP CONSTRAINT IF EXISTS ck_total_cents")
    op.execute(
        "ALTER TABLE orders ADD CONSTRAINT ck_total_cents"
        " CHECK (total_cents IS NOT NULL) NOT VALID"
    )
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE orders VALIDATE CONSTRAINT ck_orders_currency")
        op.execute("ALTER TABLE orders VALIDATE CONSTRAINT ck_total_cents")
    op.alter_column("orders", "total_cents", nullable=False)
    op.drop_constraint("ck_total_cents", "orders")


def downgrade() -> None:
    op.alter_column("orders", "total_cents", nullable=True)
