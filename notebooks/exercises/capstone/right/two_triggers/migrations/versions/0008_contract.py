"""Thursday: old code is gone

Revision ID: 0008_contract
Revises: 0007_index
Create Date: 2026-03-05 10:00:00.000000

"""

import runpy
from pathlib import Path

from alembic import op

revision = "0008_contract"
down_revision = "0007_index"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DROP TRIGGER cents_of_new ON orders")
    op.execute("DROP TRIGGER cents_of_changed ON orders")
    op.execute("DROP FUNCTION cents_of_new(), cents_of_changed()")
    op.drop_column("orders", "total")


def downgrade() -> None:
    expand = runpy.run_path(str(Path(__file__).with_name("0005_expand.py")))
    op.execute("ALTER TABLE orders ADD total numeric(10, 2) NOT NULL DEFAULT 0")
    op.execute("UPDATE orders SET total = total_cents * 0.01")
    op.execute("ALTER TABLE orders ALTER total DROP DEFAULT")
    op.execute(expand["FUNCTIONS"])
    op.execute(expand["TRIGGERS"])
