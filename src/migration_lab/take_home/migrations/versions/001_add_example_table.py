"""Add example table

Locks: SHARE ROW EXCLUSIVE on users until the commit, for the foreign key: its writers wait, for a moment since the new
table has no rows to verify. The way back takes ACCESS EXCLUSIVE on users as well.
Back: every item is lost. Dump the table before, if the rows matter.

Revision ID: 001_add_example_table
Revises: 000_add_users
Create Date: 2025-01-15 10:30:00.000000+00:00

"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

# revision identifiers, used by Alembic
revision = "001_add_example_table"
down_revision = "000_add_users"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "example_items",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),  # an integer ends at 2,147,483,647
        sa.Column("user_id", sa.BigInteger(), nullable=False),
        # Text with a check: another limit later is another check, and never a rewrite.
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("price", sa.Numeric(10, 2), nullable=False, server_default="0.00"),
        sa.Column("quantity", sa.BigInteger(), nullable=False, server_default="0"),
        sa.Column("is_active", sa.Boolean(), nullable=False, server_default=sa.true()),
        # This column alone says whether an item is deleted: a flag beside it could contradict it.
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True, comment="NULL while the item lives"),
        sa.Column("metadata", postgresql.JSONB(), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("tags", postgresql.ARRAY(sa.Text()), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("id"),
        # RESTRICT: with CASCADE, deleting a user would take for good what deleted_at is there to keep.
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], ondelete="RESTRICT"),
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 100", name="name_1_to_100_characters"),
        sa.CheckConstraint("char_length(description) <= 500", name="description_up_to_500_characters"),
        sa.CheckConstraint("price >= 0 AND price <> 'NaN'", name="price_zero_or_more"),  # for numeric, NaN >= 0 is true
        sa.CheckConstraint("quantity >= 0", name="quantity_zero_or_more"),
    )
    # Four indexes, with the primary key's. This one is for a user's items by date, and for the foreign key.
    op.create_index("ix_example_items_user_id_created_at", "example_items", ["user_id", "created_at"])
    # One live item of a name for each user; the name of a deleted one is free again.
    op.create_index(
        "uq_example_items_user_id_name_live",
        "example_items",
        ["user_id", "name"],
        unique=True,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )
    # For tags @> ARRAY['new']; 'new' = ANY (tags) does not use it.
    op.create_index("ix_example_items_tags", "example_items", ["tags"], postgresql_using="gin")

    op.execute(
        """
        CREATE FUNCTION set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.updated_at = now();
            RETURN NEW;
        END
        $$
        """
    )
    op.execute(
        """
        CREATE TRIGGER set_updated_at BEFORE UPDATE ON example_items
        FOR EACH ROW EXECUTE FUNCTION set_updated_at()
        """
    )


def downgrade() -> None:
    op.drop_table("example_items")  # and with it its indexes, constraints and trigger, but not the function
    op.execute("DROP FUNCTION set_updated_at()")
