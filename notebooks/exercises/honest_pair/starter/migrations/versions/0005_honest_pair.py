"""Make is_deleted and deleted_at agree

Revision ID: 0005_honest_pair
Revises: 0004_archive
Create Date: 2026-01-12 11:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0005_honest_pair"
down_revision = "0004_archive"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # TODO: mend the rows that contradict themselves, then forbid new ones
    pass


def downgrade() -> None:
    # TODO: take the rule away; the mended rows may stay mended
    pass
