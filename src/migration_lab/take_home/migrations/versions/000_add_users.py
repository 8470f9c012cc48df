"""Add users

It stands in for the table that your items belong to, so that the example runs on an empty database. Where you have
such a table, go down to base first; then delete this file, and let 001_add_example_table follow the revision that made yours.

Locks: none that anybody waits for; the table is new.
Back: every user is lost.

Revision ID: 000_add_users
Revises:
Create Date: 2025-01-15 10:20:00.000000+00:00

"""

import sqlalchemy as sa
from alembic import op

# revision identifiers, used by Alembic
revision = "000_add_users"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "users",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email"),
    )


def downgrade() -> None:
    op.drop_table("users")
