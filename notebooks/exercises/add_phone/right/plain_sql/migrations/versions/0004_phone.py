"""Add the phone of a user

Revision ID: 0004_phone
Revises: 0003_orders
Create Date: 2026-02-09 10:00:00.000000

"""

from alembic import op

revision = "0004_phone"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE users ADD COLUMN phone varchar(20) NOT NULL DEFAULT ''")


def downgrade() -> None:
    op.execute("ALTER TABLE users DROP COLUMN phone")
