"""Tuesday: what new code needs, beside what old code has

Revision ID: 0005_expand
Revises: 0004_busy_day
Create Date: 2026-03-03 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0005_expand"
down_revision = "0004_busy_day"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # TODO: currency and total_cents, in step with total, whoever writes which
    pass


def downgrade() -> None:
    # TODO
    pass
