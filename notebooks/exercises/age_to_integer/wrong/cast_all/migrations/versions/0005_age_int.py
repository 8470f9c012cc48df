"""Put the age as a number beside the text

Revision ID: 0005_age_int
Revises: 0004_typed_by_people
Create Date: 2026-03-10 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0005_age_int"
down_revision = "0004_typed_by_people"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("users", sa.Column("age_int", sa.Integer(), nullable=True))
    with op.get_context().autocommit_block():
        op.execute("UPDATE users SET age_int = age::integer")


def downgrade() -> None:
    op.drop_column("users", "age_int")
