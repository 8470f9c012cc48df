"""The amounts of the orders that are there

Revision ID: 0005_old_amounts
Revises: 0004_amount
Create Date: 2026-02-16 10:00:00.000000

"""

from alembic import op

revision = "0005_old_amounts"
down_revision = "0004_amount"
branch_labels = None
depends_on = None

TOUCH = """
    UPDATE orders SET total = total WHERE id IN (
        SELECT id FROM orders WHERE amount IS NULL LIMIT 200 FOR UPDATE
    )"""


def upgrade() -> None:
    with op.get_context().autocommit_block():
        while op.get_bind().exec_driver_sql(TOUCH).rowcount:
            pass  # the trigger writes the amount of each order that is touched


def downgrade() -> None:
    pass  # 0004_amount drops the column
