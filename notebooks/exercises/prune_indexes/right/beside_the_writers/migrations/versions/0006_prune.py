"""Drop the indexes that no query needs

Revision ID: 0006_prune
Revises: 0005_indexes
Create Date: 2026-01-19 11:00:00.000000

"""

from alembic import op

revision = "0006_prune"
down_revision = "0005_indexes"
branch_labels = None
depends_on = None

UNUSED = {
    "ix_example_items_id": "(id)",
    "ix_example_items_user_id": "(user_id)",
    "ix_example_items_is_deleted": "(is_deleted)",
    "idx_example_items_user_active": "(user_id, is_active)",
    "idx_example_items_active_not_deleted": (
        "(user_id, created_at) WHERE is_active AND NOT is_deleted"
    ),
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name in UNUSED:
            op.drop_index(name, postgresql_concurrently=True)


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name, columns in UNUSED.items():
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON example_items {columns}")
