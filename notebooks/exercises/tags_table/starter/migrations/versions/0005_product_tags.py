"""A row for each tag of a product

Revision ID: 0005_product_tags
Revises: 0004_tags
Create Date: 2026-01-27 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0005_product_tags"
down_revision = "0004_tags"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # TODO: the table, what it must refuse, its indexes, and its rows
    pass


def downgrade() -> None:
    # TODO
    pass
