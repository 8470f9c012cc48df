"""Add the city of a user

Revision ID: 0004_city
Revises: 0003_orders
Create Date: 2026-01-12 10:00:00.000000

"""

from alembic import op

revision = "0004_city"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE users ADD COLUMN city varchar(50)")


def downgrade() -> None:
    op.execute("ALTER TABLE users DROP COLUMN city")
