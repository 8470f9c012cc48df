"""Let orders be complete or completed

Revision ID: 0005_both_words
Revises: 0004_status_check
Create Date: 2026-02-24 11:00:00.000000

"""

from alembic import op

revision = "0005_both_words"
down_revision = "0004_status_check"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # TODO: take completed beside complete, and still no other word. Each revision has its own transaction here
    pass


def downgrade() -> None:
    # TODO
    pass
