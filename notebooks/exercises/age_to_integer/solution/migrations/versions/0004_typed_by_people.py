"""What people typed (leave it as it is)

Revision ID: 0004_typed_by_people
Revises: 0003_orders
Create Date: 2026-03-09 10:00:00.000000

"""

from alembic import op

revision = "0004_typed_by_people"
down_revision = "0003_orders"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "UPDATE users SET age = typed.age"
        " FROM (VALUES (10, '12a'), (20, ''), (30, '3.5'), (40, ' 42 '), (50, '9999999999')) AS typed (id, age)"
        " WHERE users.id = typed.id"
    )


def downgrade() -> None:
    op.execute("UPDATE users SET age = 18 + id * 7 % 63 WHERE id IN (10, 20, 30, 40, 50)")
