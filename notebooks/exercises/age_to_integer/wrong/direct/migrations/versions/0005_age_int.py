"""Put the age as a number beside the text

Revision ID: 0005_age_int
Revises: 0004_typed_by_people
Create Date: 2026-03-10 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0005_age_int"
down_revision = "0004_typed_by_people"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE TABLE age_not_a_number AS SELECT id, age FROM users WHERE age !~ '^ *[0-9]{1,9} *$'")
    op.execute(
        "ALTER TABLE users ALTER COLUMN age TYPE integer"
        " USING CASE WHEN age ~ '^ *[0-9]{1,9} *$' THEN age::integer END"
    )


def downgrade() -> None:
    op.alter_column("users", "age", type_=sa.String(20))
    op.execute("UPDATE users SET age = bad.age FROM age_not_a_number AS bad WHERE users.id = bad.id")
    op.drop_table("age_not_a_number")
