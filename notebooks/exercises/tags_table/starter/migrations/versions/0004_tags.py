"""Give products an array of tags (leave it as it is)

Revision ID: 0004_tags
Revises: 0003_orders
Create Date: 2026-01-26 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004_tags"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("products", sa.Column("tags", postgresql.ARRAY(sa.String(length=50)), nullable=True))
    op.execute("UPDATE products SET tags = ARRAY['t' || id % 50, 'kitchen'] WHERE id % 10 <> 0")
    op.execute("UPDATE products SET tags = tags || ARRAY['kitchen']::varchar[] WHERE id % 100 = 5")


def downgrade() -> None:
    op.drop_column("products", "tags")
