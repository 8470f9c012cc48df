"""What happened last night (leave it as it is)

Revision ID: 0004_last_night
Revises: 0003_orders
Create Date: 2026-02-16 10:00:00.000000

"""

from contextlib import suppress

from alembic import op
from sqlalchemy.exc import IntegrityError

revision = "0004_last_night"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Three people had signed up twice when somebody built a unique index, and the error went unnoticed."""
    op.execute("INSERT INTO users (name, email, age) SELECT name, email, age FROM users WHERE id IN (10, 20, 30)")
    with op.get_context().autocommit_block(), suppress(IntegrityError):
        op.create_index("uq_users_email", "users", ["email"], unique=True, postgresql_concurrently=True)


def downgrade() -> None:
    op.drop_index("uq_users_email", "users")
    op.execute("DELETE FROM users WHERE id > 1000")
