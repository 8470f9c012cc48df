"""Give names more room, and times a zone

Revision ID: 0004_types
Revises: 0003_orders
Create Date: 2026-03-20 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0004_types"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL TIME ZONE 'UTC'")
    op.alter_column("users", "name", type_=sa.String(length=200))
    op.alter_column("products", "name", type_=sa.Text())
    op.alter_column("orders", "created_at", type_=sa.DateTime(timezone=True))


def downgrade() -> None:
    shorter = {"type_": sa.String(length=100), "postgresql_using": "name::varchar(100)"}
    op.execute("SET LOCAL TIME ZONE 'UTC'")
    op.alter_column("orders", "created_at", type_=sa.DateTime())
    op.alter_column("products", "name", **shorter)
    op.alter_column("users", "name", **shorter)
