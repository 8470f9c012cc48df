"""Index example_items as the template does (leave it as it is)

Revision ID: 0005_indexes
Revises: 0004_example_items
Create Date: 2026-01-19 10:00:00.000000

"""

from alembic import op

revision = "0005_indexes"
down_revision = "0004_example_items"
branch_labels = None
depends_on = None

SINGLE = ["id", "user_id", "is_active", "is_deleted", "created_at"]
LIVE = "CREATE INDEX idx_example_items_active_not_deleted ON example_items (user_id, created_at) WHERE is_active AND NOT is_deleted"


def upgrade() -> None:
    for column in SINGLE:
        op.create_index(f"ix_example_items_{column}", "example_items", [column])
    op.create_index("idx_example_items_user_active", "example_items", ["user_id", "is_active"])
    op.create_index("idx_example_items_user_created", "example_items", ["user_id", "created_at"])
    op.execute(LIVE)


def downgrade() -> None:
    for column in SINGLE:
        op.drop_index(f"ix_example_items_{column}", "example_items")
    for name in ("user_active", "user_created", "active_not_deleted"):
        op.drop_index(f"idx_example_items_{name}", "example_items")
