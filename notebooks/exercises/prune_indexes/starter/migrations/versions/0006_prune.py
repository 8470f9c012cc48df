"""Drop the indexes that no query needs

Revision ID: 0006_prune
Revises: 0005_indexes
Create Date: 2026-01-19 11:00:00.000000

"""

from alembic import op

revision = "0006_prune"
down_revision = "0005_indexes"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # TODO: drop what none of the queries needs
    pass


def downgrade() -> None:
    # TODO: and back
    pass
