"""A busy day: 20,000 orders more (leave it as it is)

Revision ID: 0004_busy_day
Revises: 0003_orders
Create Date: 2026-03-02 10:00:00.000000

"""

from alembic import op

revision = "0004_busy_day"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        INSERT INTO orders (user_id, status, total, created_at)
        SELECT buyers[1 + n % 1000], CASE WHEN n % 20 = 1 THEN 'pending' ELSE 'complete' END,
               round(((n * 131 % 49000) + 500) / 100.0, 2), timestamp '2026-03-02' + n * interval '4 seconds'
          FROM generate_series(1001, 21000) AS n, (SELECT array_agg(id ORDER BY id) FROM users) AS every (buyers)
         ORDER BY n
        """
    )


def downgrade() -> None:
    op.execute("DELETE FROM orders WHERE created_at > '2026-03-02'")
