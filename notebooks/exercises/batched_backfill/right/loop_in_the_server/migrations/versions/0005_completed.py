"""Give every finished order the status completed

Revision ID: 0005_completed
Revises: 0004_typed_by_hand
Create Date: 2026-02-23 11:00:00.000000

"""

from alembic import op

revision = "0005_completed"
down_revision = "0004_typed_by_hand"
branch_labels = None
depends_on = None

FILL = """
    DO $$
    BEGIN
        LOOP
            UPDATE orders SET status = 'completed' WHERE id IN (
                SELECT id FROM orders WHERE lower(trim(status)) = 'complete'
                LIMIT 100 FOR UPDATE
            );
            EXIT WHEN NOT FOUND;
            COMMIT;
        END LOOP;
    END
    $$"""


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(FILL)


def downgrade() -> None:
    pass  # the application knows both words; which order had which is forgotten
