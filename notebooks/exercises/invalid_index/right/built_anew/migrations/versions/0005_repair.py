"""Repair the unique index on emails

Revision ID: 0005_repair
Revises: 0004_last_night
Create Date: 2026-02-17 10:00:00.000000

"""

from alembic import op

revision = "0005_repair"
down_revision = "0004_last_night"
branch_labels = None
depends_on = None

DELETE = """
    DELETE FROM users WHERE id IN (
        SELECT id FROM (
            SELECT id, row_number() OVER (PARTITION BY email ORDER BY id) AS nth
            FROM users
        ) AS numbered
        WHERE nth > 1
    )"""


def upgrade() -> None:
    op.execute(DELETE)
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")  # a timeout would leave an INVALID index
        op.drop_index("uq_users_email", if_exists=True, postgresql_concurrently=True)
        op.create_index(
            "uq_users_email",
            "users",
            ["email"],
            unique=True,
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    pass  # a broken index is nothing to go back to
