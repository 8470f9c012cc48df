"""Take goods back

Revision ID: 0004_returns
Revises: 0003_orders
Create Date: 2026-02-04 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004_returns"
down_revision = "0003_orders"
branch_labels = None
depends_on = None

STATUSES = ["pending", "processing", "complete", "cancelled", "returned"]
MARK = """
    CREATE FUNCTION mark_returned() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        UPDATE orders SET status = 'returned' WHERE id = NEW.order_id; RETURN NEW;
    END $$
"""


def upgrade() -> None:
    """Leave this as it is."""
    status = postgresql.ENUM(*STATUSES, name="order_status", create_type=False)
    status.create(op.get_bind())
    op.alter_column("orders", "status", server_default=None)
    op.alter_column("orders", "status", type_=status, postgresql_using="status::order_status")
    op.alter_column("orders", "status", server_default="pending")
    op.create_index("ix_orders_user_status", "orders", ["user_id", "status"])
    op.drop_index("ix_orders_user_id", "orders")
    op.create_table(
        "returns",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_returns"),
        sa.ForeignKeyConstraint(["order_id"], ["orders.id"], name="fk_returns_order_id"),
    )
    op.execute(MARK)
    op.execute("CREATE TRIGGER mark AFTER INSERT ON returns FOR EACH ROW EXECUTE FUNCTION mark_returned()")


def downgrade() -> None:
    op.execute("DROP TRIGGER mark ON returns")
    op.execute("DROP FUNCTION mark_returned()")
    op.drop_table("returns")
    op.create_index("ix_orders_user_id", "orders", ["user_id"])
    op.drop_index("ix_orders_user_status", "orders")
    varchar = sa.String(length=20)
    with op.batch_alter_table("orders") as orders:
        orders.alter_column("status", server_default=None)
        orders.alter_column("status", type_=varchar, postgresql_using="status::text")
        orders.alter_column("status", server_default="pending")
    postgresql.ENUM(name="order_status").drop(op.get_bind())
