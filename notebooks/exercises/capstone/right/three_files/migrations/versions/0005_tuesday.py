"""Tuesday: currency and cents, in step, filled and proved

Revision ID: 0005_tuesday
Revises: 0004_busy_day
Create Date: 2026-03-03 10:00:00.000000

"""

from alembic import op

revision = "0005_tuesday"
down_revision = "0004_busy_day"
branch_labels = None
depends_on = None

COLUMNS = """
    ALTER TABLE orders
        ADD COLUMN IF NOT EXISTS currency text NOT NULL DEFAULT 'EUR',
        ADD COLUMN IF NOT EXISTS total_cents bigint"""
IN_STEP = """
    CREATE OR REPLACE FUNCTION orders_in_step() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        cents_before bigint;
    BEGIN
        IF TG_OP = 'UPDATE' THEN
            cents_before := OLD.total_cents;
        END IF;
        IF NEW.total_cents IS DISTINCT FROM cents_before THEN
            NEW.total := NEW.total_cents / 100.0;
        ELSE
            NEW.total_cents := NEW.total * 100;
        END IF;
        RETURN NEW;
    END $$"""
TRIGGER = """
    CREATE OR REPLACE TRIGGER in_step BEFORE INSERT OR UPDATE ON orders
    FOR EACH ROW EXECUTE FUNCTION orders_in_step()"""
NO_RULES = """
    ALTER TABLE orders
        DROP CONSTRAINT IF EXISTS ck_orders_currency,
        DROP CONSTRAINT IF EXISTS ck_orders_cents"""
RULES = """
    ALTER TABLE orders
        ADD CONSTRAINT ck_orders_currency CHECK (currency ~ '^[A-Z]{3}$') NOT VALID,
        ADD CONSTRAINT ck_orders_cents CHECK (total_cents IS NOT NULL) NOT VALID"""
FILL = """
    DO $$
    BEGIN
        LOOP
            UPDATE orders SET total_cents = total * 100 WHERE id IN (
                SELECT id FROM orders WHERE total_cents IS NULL LIMIT 1000 FOR UPDATE
            );
            EXIT WHEN NOT FOUND;
            COMMIT;
        END LOOP;
    END $$"""


def upgrade() -> None:
    # The next try after a lock timeout begins here again: each step may run twice.
    for statement in (COLUMNS, IN_STEP, TRIGGER, NO_RULES, RULES):
        op.execute(statement)
    with op.get_context().autocommit_block():
        op.execute(FILL)
        op.execute("ALTER TABLE orders VALIDATE CONSTRAINT ck_orders_currency")
        op.execute("ALTER TABLE orders VALIDATE CONSTRAINT ck_orders_cents")
    op.execute("ALTER TABLE orders ALTER total_cents SET NOT NULL")
    op.execute("ALTER TABLE orders DROP CONSTRAINT ck_orders_cents")


def downgrade() -> None:
    op.execute("DROP TRIGGER in_step ON orders")
    op.execute("DROP FUNCTION orders_in_step()")
    op.execute("ALTER TABLE orders DROP total_cents, DROP currency")
