"""Let an email have one open account

Revision ID: 0005_unique_email
Revises: 0004_closed_accounts
Create Date: 2026-01-27 10:00:00.000000

"""

from alembic import op

revision = "0005_unique_email"
down_revision = "0004_closed_accounts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE users ADD CONSTRAINT uq_users_email"
        " EXCLUDE USING btree (email WITH =) WHERE (deleted_at IS NULL)"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE users DROP CONSTRAINT uq_users_email")
