"""Tuesday: what new code needs, beside what old code has

Revision ID: 0005_expand
Revises: 0004_busy_day
Create Date: 2026-03-03 10:00:00.000000

"""

from alembic import op

revision = "0005_expand"
down_revision = "0004_busy_day"
branch_labels = None
depends_on = None

FUNCTIONS = """
    CREATE FUNCTION cents_of_new() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.total_cents IS NULL THEN
            NEW.total_cents := NEW.total * 100;
        ELSE
            NEW.total := NEW.total_cents * 0.01;
        END IF;
        RETURN NEW;
    END $$;

    CREATE FUNCTION cents_of_changed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.total_cents IS DISTINCT FROM OLD.total_cents THEN
            NEW.total := NEW.total_cents * 0.01;
        ELSE
            NEW.total_cents := NEW.total * 100;
        END IF;
        RETURN NEW;
    END $$"""
TRIGGERS = """
    CREATE TRIGGER cents_of_new BEFORE INSERT ON orders
    FOR EACH ROW EXECUTE FUNCTION cents_of_new();

    CREATE TRIGGER cents_of_changed BEFORE UPDATE ON orders
    FOR EACH ROW EXECUTE FUNCTION cents_of_changed()"""


def upgrade() -> None:
    op.execute("ALTER TABLE orders ADD currency varchar(3) NOT NULL DEFAULT 'EUR'")
    op.execute(
        "ALTER TABLE orders ADD CONSTRAINT ck_orders_currency"
        " CHECK (currency ~ '^[A-Z][A-Z][A-Z]$') NOT VALID"
    )
    op.execute("ALTER TABLE orders ADD total_cents bigint")
    op.execute(FUNCTIONS)
    op.execute(TRIGGERS)


def downgrade() -> None:
    op.execute("DROP FUNCTION cents_of_new(), cents_of_changed() CASCADE")
    op.execute("ALTER TABLE orders DROP currency, DROP total_cents")
