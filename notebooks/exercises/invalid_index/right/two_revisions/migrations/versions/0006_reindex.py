"""Make the unique index on emails valid

Revision ID: 0006_reindex
Revises: 0005_repair
Create Date: 2026-02-17 10:00:00.000000

"""

from alembic import op

revision = "0006_reindex"
down_revision = "0005_repair"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")  # a timeout would leave an INVALID index
        op.execute("REINDEX INDEX CONCURRENTLY uq_users_email")


def downgrade() -> None:
    pass  # a broken index is nothing to go back to
