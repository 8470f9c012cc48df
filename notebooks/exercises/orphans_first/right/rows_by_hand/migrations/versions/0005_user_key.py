"""Let each review belong to a user

Revision ID: 0005_user_key
Revises: 0004_reviews
Create Date: 2026-01-24 10:00:00.000000

"""

import sqlalchemy as sa
from alembic import op

revision = "0005_user_key"
down_revision = "0004_reviews"
branch_labels = None
depends_on = None

ORPHANS = """
    SELECT reviews.* FROM reviews LEFT JOIN users ON users.id = reviews.user_id
    WHERE users.id IS NULL"""


def upgrade() -> None:
    of_nobody = op.create_table(
        "reviews_of_nobody",
        sa.Column("id", sa.Integer(), autoincrement=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reviews_of_nobody"),
    )
    orphans = op.get_bind().execute(sa.text(ORPHANS)).mappings().all()
    op.bulk_insert(of_nobody, [dict(row) for row in orphans])
    op.execute("DELETE FROM reviews WHERE id IN (SELECT id FROM reviews_of_nobody)")
    op.create_foreign_key("fk_reviews_user_id", "reviews", "users", ["user_id"], ["id"])


def downgrade() -> None:
    op.drop_constraint("fk_reviews_user_id", "reviews")
    op.execute(
        "INSERT INTO reviews (id, user_id, body)"
        " SELECT id, user_id, body FROM reviews_of_nobody"
    )
    op.drop_table("reviews_of_nobody")
