"""City and phone

Revision ID: 7f2b9d10c4e3
Revises: 0004_city, 0004_phone
Create Date: 2026-02-06 10:00:00.000000

"""

from typing import Sequence, Union

from alembic import op
import sqlalchemy as sa


# revision identifiers, used by Alembic.
revision: str = "7f2b9d10c4e3"
down_revision: Union[str, Sequence[str], None] = ("0004_city", "0004_phone")
branch_labels: Union[str, Sequence[str], None] = None
depends_on: Union[str, Sequence[str], None] = None


def upgrade() -> None:
    """Upgrade schema."""
    pass


def downgrade() -> None:
    """Downgrade schema."""
    pass
