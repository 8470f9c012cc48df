"""Say when an order was last updated

Revision ID: 0004_order_updated
Revises: 0003_orders
Create Date: 2026-01-12 10:00:00.000000

"""

from alembic import op

revision = "0004_order_updated"
down_revision = "0003_orders"
branch_labels = None
depends_on = None

FUNCTION = """
    CREATE FUNCTION order_updated() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            NEW.updated_at := NULL;
        ELSE
            NEW.updated_at := statement_timestamp();
        END IF;
        RETURN NEW;
    END
    $$"""
TRIGGER = """
    CREATE TRIGGER order_updated BEFORE INSERT OR UPDATE ON orders
    FOR EACH ROW EXECUTE FUNCTION order_updated()"""


def upgrade() -> None:
    op.execute("ALTER TABLE orders ADD COLUMN updated_at timestamptz")
    op.execute(FUNCTION)
    op.execute(TRIGGER)


def downgrade() -> None:
    op.execute("DROP FUNCTION order_updated() CASCADE")  # and its trigger
    op.execute("ALTER TABLE orders DROP COLUMN updated_at")
