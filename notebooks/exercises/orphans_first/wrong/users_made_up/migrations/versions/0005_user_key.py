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


def upgrade() -> None:
    op.execute("CREATE TABLE reviews_of_nobody AS SELECT * FROM reviews r WHERE NOT EXISTS (SELECT FROM users u WHERE u.id = r.user_id)")
    op.execute("INSERT INTO users (id, name, email) SELECT DISTINCT user_id, 'gone', 'gone' FROM reviews r WHERE NOT EXISTS (SELECT FROM users u WHERE u.id = r.user_id)")
    op.create_foreign_key("fk_reviews_user_id", "reviews", "users", ["user_id"], ["id"])


def downgrade() -> None:
    op.drop_constraint("fk_reviews_user_id", "reviews", type_="foreignkey")
    op.execute("DELETE FROM users WHERE name = 'gone'")
    op.drop_table("reviews_of_nobody")
