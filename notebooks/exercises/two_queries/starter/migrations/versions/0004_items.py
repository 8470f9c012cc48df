"""Make twenty thousand items (leave it as it is)

Revision ID: 0004_items
Revises: 0003_orders
Create Date: 2026-01-26 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004_items"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "items",
        sa.Column("id", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("metadata", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("tags", postgresql.ARRAY(sa.String(length=50)), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_items"),
    )
    op.execute("""
        INSERT INTO items (name, metadata, tags)
        SELECT 'Item ' || n,
               jsonb_build_object('sku', n, 'maker', 'm' || n % 500)
                   || CASE WHEN n % 200 = 0 THEN jsonb_build_object('warranty', n % 3) ELSE '{}' END,
               ARRAY['t' || n % 100] || CASE WHEN n % 200 = 7 THEN ARRAY['vintage'] END
          FROM generate_series(1, 20000) AS n
    """)


def downgrade() -> None:
    op.drop_table("items")
