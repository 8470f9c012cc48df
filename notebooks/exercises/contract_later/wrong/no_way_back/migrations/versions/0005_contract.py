"""Contract: full_name alone

Revision ID: 0005_contract
Revises: 0004_full_name
Create Date: 2026-02-19 10:00:00.000000

"""

from alembic import op

revision = "0005_contract"
down_revision = "0004_full_name"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DROP TRIGGER in_step ON users")
    op.execute("DROP FUNCTION users_in_step()")
    op.drop_column("users", "name")


def downgrade() -> None:
    pass
