"""Put the age as a number beside the text

Revision ID: 0005_age_int
Revises: 0004_typed_by_people
Create Date: 2026-03-10 10:00:00.000000

"""

from alembic import op

revision = "0005_age_int"
down_revision = "0004_typed_by_people"
branch_labels = None
depends_on = None

COLUMN = """
    ALTER TABLE users ADD COLUMN age_int integer GENERATED ALWAYS AS (
        CASE WHEN age ~ '^ *[0-9]{1,9} *$' THEN age::integer END
    ) VIRTUAL"""
REPORT = """
    CREATE VIEW age_not_a_number AS
    SELECT id, age FROM users WHERE age IS NOT NULL AND age_int IS NULL"""


def upgrade() -> None:
    op.execute(COLUMN)
    op.execute(REPORT)


def downgrade() -> None:
    op.execute("DROP VIEW age_not_a_number")
    op.drop_column("users", "age_int")
