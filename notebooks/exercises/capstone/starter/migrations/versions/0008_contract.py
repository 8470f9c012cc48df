"""Thursday: old code is gone

Revision ID: 0008_contract
Revises: 0007_index
Create Date: 2026-03-05 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0008_contract"
down_revision = "0007_index"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # TODO: total goes, and all that kept it in step; the downgrade brings it back, with its amounts
    pass


def downgrade() -> None:
    # TODO
    pass
