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
    # TODO: reviews_of_nobody, then the key fk_reviews_user_id
    pass


def downgrade() -> None:
    # TODO
    pass
