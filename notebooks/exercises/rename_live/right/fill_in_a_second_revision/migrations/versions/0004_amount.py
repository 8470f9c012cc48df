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

FUNCTION = """
    CREATE FUNCTION same_amount() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        amount_before numeric := CASE TG_OP WHEN 'UPDATE' THEN OLD.amount END;
    BEGIN
        IF NEW.amount IS DISTINCT FROM amount_before THEN
            NEW.total := NEW.amount;
        END IF;
        NEW.amount := NEW.total;
        RETURN NEW;
    END $$"""
TRIGGER = """
    CREATE TRIGGER same_amount BEFORE INSERT OR UPDATE ON orders
    FOR EACH ROW EXECUTE FUNCTION same_amount()"""


def upgrade() -> None:
    op.add_column("orders", sa.Column("amount", sa.Numeric(10, 2), nullable=True))
    op.execute(FUNCTION)
    op.execute(TRIGGER)


def downgrade() -> None:
    op.execute("DROP TRIGGER same_amount ON orders")
    op.execute("DROP FUNCTION same_amount()")
    op.drop_column("orders", "amount")
