"""Give times a zone

Revision ID: 0005_times
Revises: 0004_types
Create Date: 2026-03-11 10:00:00.000000

"""

from alembic import op

revision = "0005_times"
down_revision = "0004_types"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL TIME ZONE 'UTC'")  # the zone of the values that are there
    op.execute("ALTER TABLE orders ALTER COLUMN created_at TYPE timestamptz")


def downgrade() -> None:
    op.execute(
        "ALTER TABLE orders ALTER COLUMN created_at TYPE timestamp"
        " USING created_at AT TIME ZONE 'UTC'"
    )
