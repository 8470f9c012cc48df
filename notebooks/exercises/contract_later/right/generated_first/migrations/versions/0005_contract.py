"""Contract: full_name alone

Revision ID: 0005_contract
Revises: 0004_full_name
Create Date: 2026-02-19 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0005_contract"
down_revision = "0004_full_name"
branch_labels = None
depends_on = None

IN_STEP = """
    CREATE FUNCTION users_in_step() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' THEN
            NEW.full_name := coalesce(NEW.full_name, NEW.name);
            NEW.name := NEW.full_name;
        ELSIF NEW.full_name IS DISTINCT FROM OLD.full_name THEN
            NEW.name := NEW.full_name;
        ELSE
            NEW.full_name := NEW.name;
        END IF;
        RETURN NEW;
    END $$"""
TRIGGER = """
    CREATE TRIGGER in_step BEFORE INSERT OR UPDATE ON users
    FOR EACH ROW EXECUTE FUNCTION users_in_step()"""


def upgrade() -> None:
    op.execute("DROP TRIGGER in_step ON users")
    with op.batch_alter_table("users") as users:
        users.drop_column("name")
    op.execute("DROP FUNCTION users_in_step()")


def downgrade() -> None:
    computed = sa.Computed("full_name", persisted=True)
    op.add_column("users", sa.Column("name", sa.String(100), computed, nullable=False))
    op.execute("ALTER TABLE users ALTER COLUMN name DROP EXPRESSION")
    op.execute(IN_STEP)
    op.execute(TRIGGER)
