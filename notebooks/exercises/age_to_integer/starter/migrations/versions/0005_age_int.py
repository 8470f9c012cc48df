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
    # TODO: users.age_int, an integer that follows users.age
    # TODO: age_not_a_number, with the id and the age of whoever typed no number
    pass


def downgrade() -> None:
    # TODO
    pass
