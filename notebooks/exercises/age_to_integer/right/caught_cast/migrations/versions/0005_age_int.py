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

NUMBER = """
    CREATE FUNCTION age_number(age text) RETURNS integer
    LANGUAGE plpgsql IMMUTABLE AS $$
    BEGIN
        RETURN age::integer;
    EXCEPTION WHEN invalid_text_representation OR numeric_value_out_of_range THEN
        RETURN NULL;
    END
    $$"""
FOLLOW = """
    CREATE FUNCTION age_follows() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.age_int := age_number(NEW.age);
        RETURN NEW;
    END
    $$"""
TRIGGER = """
    CREATE TRIGGER age_follows BEFORE INSERT OR UPDATE ON users
    FOR EACH ROW EXECUTE FUNCTION age_follows()"""
REPORT = """
    CREATE VIEW age_not_a_number AS
    SELECT id, age FROM users WHERE age IS NOT NULL AND age_number(age) IS NULL"""


def upgrade() -> None:
    op.add_column("users", sa.Column("age_int", sa.Integer(), nullable=True))
    op.execute(NUMBER)
    op.execute(FOLLOW)
    op.execute(TRIGGER)
    op.execute(REPORT)


def downgrade() -> None:
    op.execute("DROP VIEW age_not_a_number")
    op.execute("DROP TRIGGER age_follows ON users")
    op.execute("DROP FUNCTION age_follows()")
    op.execute("DROP FUNCTION age_number(text)")
    op.drop_column("users", "age_int")
