"""Let orders be complete or completed

Revision ID: 0005_both_words
Revises: 0004_status_check
Create Date: 2026-02-24 11:00:00.000000

"""

from alembic import op

revision = "0005_both_words"
down_revision = "0004_status_check"
branch_labels = None
depends_on = None

NARROW = "'pending', 'processing', 'complete', 'cancelled'"
WIDE = f"{NARROW}, 'completed'"


def upgrade() -> None:
    op.execute(
        f"""
        ALTER TABLE orders
            DROP CONSTRAINT ck_orders_status,
            ADD CONSTRAINT ck_orders_status CHECK (status IN ({WIDE})) NOT VALID
        """
    )
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE orders VALIDATE CONSTRAINT ck_orders_status")


def downgrade() -> None:
    op.execute(
        f"""
        ALTER TABLE orders
            DROP CONSTRAINT ck_orders_status,
            ADD CONSTRAINT ck_orders_status CHECK (status IN ({NARROW}))
        """
    )
