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
    email_while_open = sa.text("(CASE WHEN deleted_at IS NULL THEN email END)")
    op.create_index("uq_users_email", "users", [email_while_open], unique=True)


def downgrade() -> None:
    op.drop_index("uq_users_email", "users")
