"""Let each review belong to a user

Revision ID: 0005_user_key
Revises: 0004_reviews
Create Date: 2026-01-24 10:00:00.000000

"""

from alembic import op

revision = "0005_user_key"
down_revision = "0004_reviews"
branch_labels = None
depends_on = None

MOVE = """
    WITH orphans AS (
        DELETE FROM reviews WHERE user_id NOT IN (SELECT id FROM users) RETURNING *
    )
    INSERT INTO reviews_of_nobody SELECT * FROM orphans"""
BACK = """
    WITH orphans AS (DELETE FROM reviews_of_nobody RETURNING *)
    INSERT INTO reviews SELECT * FROM orphans"""


def upgrade() -> None:
    op.execute("CREATE TABLE reviews_of_nobody (LIKE reviews)")
    op.execute(MOVE)
    op.execute(
        "ALTER TABLE reviews ADD CONSTRAINT fk_reviews_user_id"
        " FOREIGN KEY (user_id) REFERENCES users"
    )


def downgrade() -> None:
    op.execute("ALTER TABLE reviews DROP CONSTRAINT fk_reviews_user_id")
    op.execute(BACK)
    op.execute("DROP TABLE reviews_of_nobody")
