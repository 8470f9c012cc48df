"""Thursday: old code is gone

Revision ID: 0007_thursday
Revises: 0006_list
Create Date: 2026-03-05 10:00:00.000000

"""

import runpy
from pathlib import Path

from alembic import op

revision = "0007_thursday"
down_revision = "0006_list"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DROP TRIGGER in_step ON orders")
    op.execute("DROP FUNCTION orders_in_step()")
    op.execute("ALTER TABLE orders DROP COLUMN total")


def downgrade() -> None:
    tuesday = runpy.run_path(str(Path(__file__).with_name("0005_tuesday.py")))
    # The server computes every total; without its expression it is a plain column.
    op.execute(
        "ALTER TABLE orders ADD COLUMN total numeric(10, 2) NOT NULL"
        " GENERATED ALWAYS AS (total_cents / 100.0) STORED"
    )
    op.execute("ALTER TABLE orders ALTER COLUMN total DROP EXPRESSION")
    op.execute(tuesday["IN_STEP"])
    op.execute(tuesday["TRIGGER"])
