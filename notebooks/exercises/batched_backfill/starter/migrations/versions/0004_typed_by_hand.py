"""Three orders as people typed them, and one with the new word (leave it as it is)

Revision ID: 0004_typed_by_hand
Revises: 0003_orders
Create Date: 2026-02-23 10:00:00.000000

"""

from alembic import op

revision = "0004_typed_by_hand"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("UPDATE orders SET status = 'Complete' WHERE id IN (3, 503)")
    op.execute("UPDATE orders SET status = 'complete ' WHERE id = 5")
    op.execute("UPDATE orders SET status = 'completed' WHERE id BETWEEN 7 AND 19")


def downgrade() -> None:
    op.execute("UPDATE orders SET status = 'complete' WHERE id IN (3, 5, 503) OR id BETWEEN 7 AND 19")
