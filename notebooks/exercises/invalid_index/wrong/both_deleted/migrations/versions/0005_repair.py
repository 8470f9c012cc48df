"""Repair the unique index on emails

Revision ID: 0005_repair
Revises: 0004_last_night
Create Date: 2026-02-17 10:00:00.000000

"""

from alembic import op

revision = "0005_repair"
down_revision = "0004_last_night"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "DELETE FROM users AS one USING users AS other WHERE one.email = other.email AND one.id <> other.id"
        " AND NOT EXISTS (SELECT FROM orders WHERE user_id = one.id)"
    )
    with op.get_context().autocommit_block():
        op.execute("REINDEX INDEX CONCURRENTLY uq_users_email")


def downgrade() -> None:
    pass  # a broken index is nothing to go back to
