"""Parcels have a size (leave it as it is)

Revision ID: 0004_parcels
Revises: 0003_orders
Create Date: 2026-02-21 10:00:00.000000

"""

from alembic import op

revision = "0004_parcels"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE TYPE size AS ENUM ('small', 'large')")
    op.execute("CREATE TABLE parcels (id integer PRIMARY KEY, size size NOT NULL)")
    op.execute("INSERT INTO parcels VALUES (1, 'small'), (2, 'large')")


def downgrade() -> None:
    op.drop_table("parcels")
    op.execute("DROP TYPE size")
