"""Tuesday: the orders that are there

Revision ID: 0006_fill
Revises: 0005_expand
Create Date: 2026-03-03 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0006_fill"
down_revision = "0005_expand"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # TODO: the cents of every order, and then the proof that none is missing
    pass


def downgrade() -> None:
    # TODO
    pass
