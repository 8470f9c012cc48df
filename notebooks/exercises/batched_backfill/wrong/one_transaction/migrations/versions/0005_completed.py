"""Give every finished order the status completed

Revision ID: 0005_completed
Revises: 0004_typed_by_hand
Create Date: 2026-02-23 11:00:00.000000

"""

from alembic import op

revision = "0005_completed"
down_revision = "0004_typed_by_hand"
branch_labels = None
depends_on = None
BATCH = "UPDATE orders SET status = 'completed' WHERE id BETWEEN {} AND {} AND lower(trim(status)) = 'complete'"


def upgrade() -> None:
    last = op.get_bind().exec_driver_sql("SELECT max(id) FROM orders").scalar() or 0
    for first in range(1, last + 1, 100):
        op.execute(BATCH.format(first, first + 99))


def downgrade() -> None:
    pass  # the application knows both words; which order had which is forgotten
