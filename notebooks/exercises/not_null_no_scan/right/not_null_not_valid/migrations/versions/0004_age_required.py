"""Make the age of a user required

Revision ID: 0004_age_required
Revises: 0003_orders
Create Date: 2026-02-10 10:00:00.000000

"""

from alembic import op

revision = "0004_age_required"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE users ADD CONSTRAINT users_age_not_null NOT NULL age NOT VALID"
    )
    with op.get_context().autocommit_block():  # commits, so the proof shuts nobody out
        op.execute("ALTER TABLE users VALIDATE CONSTRAINT users_age_not_null")


def downgrade() -> None:
    op.execute("ALTER TABLE users ALTER COLUMN age DROP NOT NULL")
