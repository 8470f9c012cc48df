"""Give names more room, and times a zone

Revision ID: 0004_types
Revises: 0003_orders
Create Date: 2026-03-11 10:00:00.000000

"""

from alembic import op

revision = "0004_types"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        SELECT set_config('TimeZone', 'UTC', true);
        ALTER TABLE users ALTER COLUMN name TYPE varchar(200);
        ALTER TABLE products ALTER COLUMN name TYPE text;
        ALTER TABLE orders ALTER COLUMN created_at TYPE timestamptz;
        """
    )


def downgrade() -> None:
    op.execute(
        """
        SELECT set_config('TimeZone', 'UTC', true);
        ALTER TABLE orders ALTER COLUMN created_at TYPE timestamp;
        ALTER TABLE products ALTER COLUMN name TYPE varchar(100);
        ALTER TABLE users ALTER COLUMN name TYPE varchar(100);
        """
    )
