"""Call the total of an order its amount

Revision ID: 0004_amount
Revises: 0003_orders
Create Date: 2026-02-16 10:00:00.000000

"""

from alembic import op

revision = "0004_amount"
down_revision = "0003_orders"
branch_labels = None
depends_on = None

NEW_ORDER = """
    CREATE OR REPLACE FUNCTION amount_of_new() RETURNS trigger
    LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.amount IS NULL THEN
            NEW.amount := NEW.total;
        ELSE
            NEW.total := NEW.amount;
        END IF;
        RETURN NEW;
    END $$;

    CREATE OR REPLACE TRIGGER amount_of_new BEFORE INSERT ON orders
    FOR EACH ROW EXECUTE FUNCTION amount_of_new()"""
CHANGED_ORDER = """
    CREATE OR REPLACE FUNCTION amount_of_changed() RETURNS trigger
    LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.amount IS DISTINCT FROM OLD.amount THEN
            NEW.total := NEW.amount;
        ELSE
            NEW.amount := NEW.total;
        END IF;
        RETURN NEW;
    END $$;

    CREATE OR REPLACE TRIGGER amount_of_changed BEFORE UPDATE ON orders
    FOR EACH ROW EXECUTE FUNCTION amount_of_changed()"""
FILL = """
    DO $$
    BEGIN
        LOOP
            UPDATE orders SET amount = total WHERE id IN (
                SELECT id FROM orders WHERE amount IS NULL LIMIT 500 FOR UPDATE
            );
            EXIT WHEN NOT FOUND;
            COMMIT;
        END LOOP;
    END $$"""


def upgrade() -> None:
    op.execute("ALTER TABLE orders ADD COLUMN IF NOT EXISTS amount numeric(10, 2)")
    op.execute(NEW_ORDER)
    op.execute(CHANGED_ORDER)
    with op.get_context().autocommit_block():
        op.execute(FILL)


def downgrade() -> None:
    op.execute("DROP FUNCTION amount_of_new(), amount_of_changed() CASCADE")
    op.execute("ALTER TABLE orders DROP COLUMN amount")
