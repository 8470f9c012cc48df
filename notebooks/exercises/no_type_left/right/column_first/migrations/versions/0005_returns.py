"""Returns, with a reason and a size

Revision ID: 0005_returns
Revises: 0004_parcels
Create Date: 2026-02-22 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005_returns"
down_revision = "0004_parcels"
branch_labels = None
depends_on = None


def upgrade() -> None:
    reason = postgresql.ENUM("damaged", "late", name="return_reason")
    size = postgresql.ENUM(name="size", create_type=False)
    op.create_table(
        "returns",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("reason", reason, nullable=False),
        sa.Column("size", size, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_returns"),
    )


def downgrade() -> None:
    op.drop_column("returns", "reason")
    op.execute("DROP TYPE return_reason")
    op.execute("DROP TABLE returns")
