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


def upgrade() -> None:
    op.drop_constraint("ck_orders_status_both", "orders", if_exists=True)  # a try that broke off has left it
    op.create_check_constraint(
        "ck_orders_status_both",
        "orders",
        "status IN ('pending', 'processing', 'complete', 'completed', 'cancelled')",
        postgresql_not_valid=True,
    )
    op.drop_constraint("ck_orders_status", "orders", if_exists=True)
    with op.get_context().autocommit_block():  # a proof in the same transaction would keep the first lock through it
        op.execute("ALTER TABLE orders VALIDATE CONSTRAINT ck_orders_status_both")


def downgrade() -> None:
    op.create_check_constraint("ck_orders_status", "orders", "status IN ('pending', 'processing', 'complete', 'cancelled')")
    op.drop_constraint("ck_orders_status_both", "orders")
