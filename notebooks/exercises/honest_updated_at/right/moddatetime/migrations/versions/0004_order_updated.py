"""Say when an order was last updated

Revision ID: 0004_order_updated
Revises: 0003_orders
Create Date: 2026-01-12 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0004_order_updated"
down_revision = "0003_orders"
branch_labels = None
depends_on = None

TRIGGER = """
    CREATE TRIGGER updated_at BEFORE UPDATE ON orders
    FOR EACH ROW EXECUTE FUNCTION moddatetime(updated_at)"""


def upgrade() -> None:
    op.execute("CREATE EXTENSION moddatetime")
    op.add_column("orders", sa.Column("updated_at", sa.TIMESTAMP(timezone=True)))
    op.execute(TRIGGER)


def downgrade() -> None:
    op.drop_column("orders", "updated_at")
    op.execute("DROP TRIGGER updated_at ON orders")
    op.execute("DROP EXTENSION moddatetime")
