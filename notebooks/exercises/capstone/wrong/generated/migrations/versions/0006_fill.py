"""Tuesday: the proof

Revision ID: 0006_fill
Revises: 0005_expand
Create Date: 2026-03-03 10:00:00.000000

"""

from alembic import op

revision = "0006_fill"
down_revision = "0005_expand"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE orders VALIDATE CONSTRAINT ck_orders_currency")


def downgrade() -> None:
    pass
