"""Give names more room

Revision ID: 0004_types
Revises: 0003_orders
Create Date: 2026-03-11 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0004_types"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("users") as users:
        users.alter_column("name", type_=sa.VARCHAR(200))
    with op.batch_alter_table("products") as products:
        products.alter_column("name", type_=sa.TEXT())


def downgrade() -> None:
    with op.batch_alter_table("products") as products:
        products.alter_column("name", type_=sa.VARCHAR(100))
    with op.batch_alter_table("users") as users:
        users.alter_column("name", type_=sa.VARCHAR(100))
