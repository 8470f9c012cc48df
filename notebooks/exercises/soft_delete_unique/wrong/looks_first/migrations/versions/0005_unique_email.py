"""Let an email have one open account

Revision ID: 0005_unique_email
Revises: 0004_closed_accounts
Create Date: 2026-01-27 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0005_unique_email"
down_revision = "0004_closed_accounts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("uq_users_email", "users", ["email"])
    op.execute("""
        CREATE FUNCTION one_account() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.deleted_at IS NULL AND EXISTS (
                SELECT FROM users WHERE email = NEW.email AND deleted_at IS NULL AND id <> NEW.id
            ) THEN
                RAISE unique_violation USING MESSAGE = 'this email has an account';
            END IF;
            RETURN NEW;
        END $$""")
    op.execute("CREATE TRIGGER one_account BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION one_account()")


def downgrade() -> None:
    op.execute("DROP TRIGGER one_account ON users; DROP FUNCTION one_account()")
    op.drop_index("uq_users_email", "users")
