"""Let there be items (leave it as it is)

Revision ID: 002_items
Revises: 001_add_example_table
Create Date: 2026-04-20 09:00:00.000000+00:00

"""

from alembic import op

# revision identifiers, used by Alembic
revision = "002_items"
down_revision = "001_add_example_table"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("INSERT INTO users (email) SELECT 'user.' || n || '@example.com' FROM generate_series(1, 100) AS n")
    op.execute(
        """
        INSERT INTO example_items (user_id, name, price, deleted_at)
        SELECT id, 'item ' || n, n, CASE WHEN n % 10 = 0 THEN now() END
        FROM users CROSS JOIN generate_series(1, 200) AS n
        ORDER BY id, n
        """
    )


def downgrade() -> None:
    op.execute("TRUNCATE example_items, users RESTART IDENTITY")
