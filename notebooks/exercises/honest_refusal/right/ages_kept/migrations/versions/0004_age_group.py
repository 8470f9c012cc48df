"""Keep the age group of a user instead of the age

Revision ID: 0004_age_group
Revises: 0003_orders
Create Date: 2026-02-05 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0004_age_group"
down_revision = "0003_orders"
branch_labels = None
depends_on = None

GROUP = """
    UPDATE users SET age_group = CASE
        WHEN age::integer < 40 THEN '18 to 39'
        WHEN age::integer < 65 THEN '40 to 64'
        WHEN age::integer >= 65 THEN '65 and over' END
"""


def upgrade() -> None:
    op.execute("CREATE TABLE users_age AS SELECT id, age FROM users")
    op.add_column("users", sa.Column("age_group", sa.String(length=11), nullable=True))
    op.execute(GROUP)
    op.drop_column("users", "age")


def downgrade() -> None:
    age = sa.Column("age", sa.String(length=20), comment="As the sign-up form sends it")
    op.add_column("users", age)
    op.execute(
        "UPDATE users SET age = kept.age"
        " FROM users_age AS kept WHERE kept.id = users.id"
    )
    op.drop_table("users_age")
    op.drop_column("users", "age_group")
