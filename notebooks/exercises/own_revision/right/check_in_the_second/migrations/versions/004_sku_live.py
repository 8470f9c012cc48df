"""Let a live item's sku be its own

Locks: ACCESS EXCLUSIVE on example_items for a moment, then SHARE UPDATE EXCLUSIVE.
Back: nothing is lost; a sku may be of any length, and two items may have it.

Revision ID: 004_sku_live
Revises: 003_sku
Create Date: 2026-04-20 11:00:00.000000+00:00

"""

import sqlalchemy as sa
from alembic import op

# revision identifiers, used by Alembic
revision = "004_sku_live"
down_revision = "003_sku"
branch_labels = None
depends_on = None

CHECK = "sku_1_to_20_characters"  # the convention of env.py puts the table before it
INDEX = "uq_example_items_sku_live"


def upgrade() -> None:
    # What a try that failed has left is made anew.
    op.drop_constraint(CHECK, "example_items", type_="check", if_exists=True)
    op.create_check_constraint(
        CHECK,
        "example_items",
        "char_length(sku) BETWEEN 1 AND 20",
        postgresql_not_valid=True,
    )
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.execute("SET statement_timeout = 0")
        op.execute(
            f"ALTER TABLE example_items VALIDATE CONSTRAINT ck_example_items_{CHECK}"
        )
        op.drop_index(INDEX, if_exists=True, postgresql_concurrently=True)
        op.create_index(
            INDEX,
            "example_items",
            ["sku"],
            unique=True,
            postgresql_where=sa.text("deleted_at IS NULL"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_constraint(CHECK, "example_items", type_="check", if_exists=True)
    with op.get_context().autocommit_block():
        op.execute("SET lock_timeout = 0")
        op.execute("SET statement_timeout = 0")
        op.drop_index(INDEX, if_exists=True, postgresql_concurrently=True)
