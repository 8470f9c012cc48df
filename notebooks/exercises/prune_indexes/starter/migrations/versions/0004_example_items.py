"""Add example_items, with rows (leave it as it is)

Revision ID: 0004_example_items
Revises: 0003_orders
Create Date: 2026-01-19 09:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0004_example_items"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "example_items",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("is_active", sa.Boolean(), nullable=False, server_default="true"),
        sa.Column("is_deleted", sa.Boolean(), nullable=False, server_default="false"),
        sa.Column("created_at", sa.DateTime(), nullable=False, server_default=sa.text("now()")),
        sa.PrimaryKeyConstraint("id", name="pk_example_items"),
        sa.UniqueConstraint("name", name="uq_example_items_name"),
    )
    op.execute(
        "INSERT INTO example_items (user_id, name, is_active, is_deleted, created_at)"
        " SELECT 1 + n * 7919 % 100, 'Item ' || n, n % 100 <> 3, n % 100 = 7,"
        " timestamp '2026-01-01 09:00' + n * interval '1 minute' FROM generate_series(1, 20000) AS n ORDER BY n"
    )


def downgrade() -> None:
    op.drop_table("example_items")
