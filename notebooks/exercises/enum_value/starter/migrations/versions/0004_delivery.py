"""Say how an order is delivered (leave it as it is)

Revision ID: 0004_delivery
Revises: 0003_orders
Create Date: 2026-02-20 10:00:00.000000

"""

from alembic import op

revision = "0004_delivery"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():  # committed, as a type is that has been in use for long
        op.execute("CREATE TYPE delivery AS ENUM ('post', 'courier')")
    op.execute("ALTER TABLE orders ADD COLUMN delivery delivery NOT NULL DEFAULT 'post'")


def downgrade() -> None:
    op.drop_column("orders", "delivery")
    op.execute("DROP TYPE delivery")
