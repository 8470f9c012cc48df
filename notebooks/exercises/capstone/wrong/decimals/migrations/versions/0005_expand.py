"""Tuesday: what new code needs, beside what old code has

Revision ID: 0005_expand
Revises: 0004_busy_day
Create Date: 2026-03-03 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0005_expand"
down_revision = "0004_busy_day"
branch_labels = None
depends_on = None

IN_STEP = """
    CREATE FUNCTION orders_in_step() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            NEW.total_cents := coalesce(NEW.total_cents, NEW.total * 100);
            NEW.total := NEW.total_cents / 100.0;
        ELSIF NEW.total_cents IS DISTINCT FROM OLD.total_cents THEN
            NEW.total := NEW.total_cents / 100.0;
        ELSE
            NEW.total_cents := NEW.total * 100;
        END IF;
        RETURN NEW;
    END $$"""
TRIGGER = "CREATE TRIGGER in_step BEFORE INSERT OR UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION orders_in_step()"


def upgrade() -> None:
    op.add_column("orders", sa.Column("currency", sa.Text(), nullable=False, server_default="EUR"))
    op.create_check_constraint("ck_orders_currency", "orders", "currency ~ '^[A-Z]{3}$'", postgresql_not_valid=True)
    op.add_column("orders", sa.Column("total_cents", sa.Numeric(12, 2), nullable=True))
    op.execute(IN_STEP)
    op.execute(TRIGGER)


def downgrade() -> None:
    op.execute("DROP TRIGGER in_step ON orders")
    op.execute("DROP FUNCTION orders_in_step()")
    op.drop_column("orders", "total_cents")
    op.drop_column("orders", "currency")
