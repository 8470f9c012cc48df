"""Make is_deleted and deleted_at agree

Revision ID: 0005_honest_pair
Revises: 0004_archive
Create Date: 2026-01-12 11:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0005_honest_pair"
down_revision = "0004_archive"
branch_labels = None
depends_on = None

products = sa.table(
    "products", sa.column("id"), sa.column("is_deleted"), sa.column("deleted_at")
)


def upgrade() -> None:
    connection = op.get_bind()
    for row in connection.execute(sa.select(products)).all():
        mend = sa.update(products).where(products.c.id == row.id)
        if row.is_deleted and row.deleted_at is None:
            connection.execute(mend.values(deleted_at=sa.func.now()))
        elif not row.is_deleted and row.deleted_at is not None:
            connection.execute(mend.values(deleted_at=None))
    op.create_check_constraint(
        "ck_products_deleted",
        "products",
        "num_nonnulls(deleted_at) = is_deleted::integer",
    )


def downgrade() -> None:
    op.drop_constraint("ck_products_deleted", "products", type_="check")
