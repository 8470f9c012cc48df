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


def upgrade() -> None:
    op.execute(
        """
        DROP INDEX
            ix_example_items_id,
            ix_example_items_user_id,
            ix_example_items_is_deleted,
            idx_example_items_user_active,
            idx_example_items_active_not_deleted
        """
    )


def downgrade() -> None:
    op.execute(
        """
        CREATE INDEX ix_example_items_id ON example_items (id);
        CREATE INDEX ix_example_items_user_id ON example_items (user_id);
        CREATE INDEX ix_example_items_is_deleted ON example_items (is_deleted);
        CREATE INDEX idx_example_items_user_active
            ON example_items (user_id, is_active);
        CREATE INDEX idx_example_items_active_not_deleted
            ON example_items (user_id, created_at) WHERE is_active AND NOT is_deleted;
        """
    )
