"""Call the total of an order its amount

Revision ID: 0004_amount
Revises: 0003_orders
Create Date: 2026-02-16 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0004_amount"
down_revision = "0003_orders"
branch_labels = None
depends_on = None
IN_STEP = """
    CREATE OR REPLACE FUNCTION orders_in_step() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            NEW.amount := coalesce(NEW.amount, NEW.total);
            NEW.total := NEW.amount;
        ELSIF NEW.amount IS DISTINCT FROM OLD.amount THEN
            NEW.total := NEW.amount;
        ELSE
            NEW.amount := NEW.total;
        END IF;
        RETURN NEW;
    END $$"""
TRIGGER = """
    CREATE OR REPLACE TRIGGER in_step BEFORE INSERT OR UPDATE ON orders
    FOR EACH ROW EXECUTE FUNCTION orders_in_step()"""
BATCH = "UPDATE orders SET amount = total WHERE id BETWEEN {} AND {} AND amount IS NULL"


def upgrade() -> None:
    # A try that broke off in the batches has left what comes before them.
    op.add_column("orders", sa.Column("amount", sa.Numeric(precision=10, scale=2), nullable=True), if_not_exists=True)
    op.execute(IN_STEP)
    op.execute(TRIGGER)
    with op.get_context().autocommit_block():
        last = op.get_bind().exec_driver_sql("SELECT max(id) FROM orders").scalar() or 0
        for first in range(1, last + 1, 1_000):
            op.execute(BATCH.format(first, first + 999))


def downgrade() -> None:
    op.execute("DROP TRIGGER in_step ON orders")
    op.execute("DROP FUNCTION orders_in_step()")
    op.drop_column("orders", "amount")
