"""Contract: full_name alone

Revision ID: 0005_contract
Revises: 0004_full_name
Create Date: 2026-02-19 10:00:00.000000

"""

import runpy
from pathlib import Path

from alembic import op

revision = "0005_contract"
down_revision = "0004_full_name"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("DROP FUNCTION users_in_step() CASCADE")  # and its trigger
    op.execute("ALTER TABLE users DROP COLUMN name")


def downgrade() -> None:
    expand = runpy.run_path(str(Path(__file__).with_name("0004_full_name.py")))
    op.execute("ALTER TABLE users ADD COLUMN name varchar(100) NOT NULL DEFAULT ''")
    op.execute("UPDATE users SET name = full_name")
    op.execute("ALTER TABLE users ALTER COLUMN name DROP DEFAULT")
    op.execute(expand["IN_STEP"])
    op.execute(expand["TRIGGER"])
