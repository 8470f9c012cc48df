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


FUNCTION = """
CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$
"""

TRIGGER = """
CREATE TRIGGER touch BEFORE UPDATE ON orders
FOR EACH ROW EXECUTE FUNCTION touch_updated_at()
"""


def upgrade() -> None:
    op.add_column("orders", sa.Column("updated_at", sa.DateTime(timezone=True), nullable=True))
    op.execute(FUNCTION)
    op.execute(TRIGGER)


def downgrade() -> None:
    op.drop_column("orders", "updated_at")
