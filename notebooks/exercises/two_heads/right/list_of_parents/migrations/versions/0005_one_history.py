"""Make one history again

Revision ID: 0005_one_history
Revises: 0004_phone, 0004_city
Create Date: 2026-02-06 10:00:00.000000

"""

revision = "0005_one_history"
down_revision = ["0004_phone", "0004_city"]
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    pass
