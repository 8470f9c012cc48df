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
LIVE = "CREATE INDEX idx_example_items_active_not_deleted ON example_items (user_id, created_at)"


def upgrade() -> None:
    op.drop_index("ix_example_items_id", "example_items")
    op.drop_index("ix_example_items_user_id", "example_items")
    op.drop_index("ix_example_items_is_deleted", "example_items")
    op.drop_index("idx_example_items_user_active", "example_items")
    op.drop_index("idx_example_items_active_not_deleted", "example_items")


def downgrade() -> None:
    op.create_index("ix_example_items_id", "example_items", ["id"])
    op.create_index("ix_example_items_user_id", "example_items", ["user_id"])
    op.create_index("ix_example_items_is_deleted", "example_items", ["is_deleted"])
    op.create_index("idx_example_items_user_active", "example_items", ["user_id", "is_active"])
    op.execute(LIVE)
