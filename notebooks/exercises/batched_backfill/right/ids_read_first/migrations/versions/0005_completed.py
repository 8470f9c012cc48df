"""Give every finished order the status completed

Revision ID: 0005_completed
Revises: 0004_typed_by_hand
Create Date: 2026-02-23 11:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0005_completed"
down_revision = "0004_typed_by_hand"
branch_labels = None
depends_on = None

orders = sa.table("orders", sa.column("id"), sa.column("status"))
finished = sa.func.lower(sa.func.trim(orders.c.status)) == "complete"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        ids = connection.scalars(sa.select(orders.c.id).where(finished)).all()
        for first in range(0, len(ids), 100):
            batch = orders.c.id.in_(ids[first : first + 100])
            update = sa.update(orders).where(batch, finished)
            connection.execute(update.values(status="completed"))


def downgrade() -> None:
    pass  # the application knows both words; which order had which is forgotten
