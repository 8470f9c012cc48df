"""Tuesday: support's list

Revision ID: 0007_index
Revises: 0006_fill
Create Date: 2026-03-03 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0007_index"
down_revision = "0006_fill"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # TODO: an index for a user's orders of a status, newest first
    pass


def downgrade() -> None:
    # TODO
    pass
