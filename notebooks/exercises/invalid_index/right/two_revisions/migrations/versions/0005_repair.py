"""Keep the first user of each email

Revision ID: 0005_repair
Revises: 0004_last_night
Create Date: 2026-02-17 10:00:00.000000

"""

from alembic import op

revision = "0005_repair"
down_revision = "0004_last_night"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "DELETE FROM users WHERE id NOT IN (SELECT min(id) FROM users GROUP BY email)"
    )


def downgrade() -> None:
    pass  # who has signed up twice needs no second row
