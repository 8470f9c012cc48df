"""Contract: full_name alone

Revision ID: 0005_contract
Revises: 0004_full_name
Create Date: 2026-02-19 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0005_contract"
down_revision = "0004_full_name"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # TODO: old code is gone; let nothing of the old name stay
    pass


def downgrade() -> None:
    # TODO: for old code that has to come back: its column, with the names, and in step again
    pass
