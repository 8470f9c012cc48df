"""Bring coupons to what models.py says

Revision ID: 0005_as_modelled
Revises: 0004_coupons
Create Date: 2026-02-05 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0005_as_modelled"
down_revision = "0004_coupons"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # TODO: what `alembic check` does not tell
    pass


def downgrade() -> None:
    # TODO: and back
    pass
