<% merges = isinstance(down_revision, (tuple, list)) %>\
"""${message}

% if not merges:
Locks: TODO each table, its lock and for how long (LOCKS.md); what waits meanwhile.
Back: TODO what a downgrade loses.

% endif
Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}
Create Date: ${create_date}

"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
# revision identifiers, used by Alembic
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}

% if not merges:
# Timestamps: sa.DateTime(timezone=True). Keys: sa.BigInteger(), sa.Identity(always=True). Defaults: server_default.
# A check is named for what it takes, without its prefix: name="price_zero_or_more". To drop it, say the same name, and
# type_="check". CHECKLIST.md has the rest.

% endif

def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
% if merges or "op." in (downgrades or ""):
    ${downgrades if downgrades else "pass"}
% else:
    raise NotImplementedError("TODO: the way back, or why there is none")
% endif
