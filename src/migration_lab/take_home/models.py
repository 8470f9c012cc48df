"""The tables as the application knows them. `alembic check` compares them with the database."""

from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    # Every key, check and index has a name that a later migration can foretell, here and in op.create_table alike.
    metadata = sa.MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        }
    )


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    email: Mapped[str] = mapped_column(sa.Text, unique=True)
    created_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())


class ExampleItem(Base):
    __tablename__ = "example_items"
    __table_args__ = (
        sa.CheckConstraint("char_length(name) BETWEEN 1 AND 100", name="name_1_to_100_characters"),
        sa.CheckConstraint("char_length(description) <= 500", name="description_up_to_500_characters"),
        sa.CheckConstraint("price >= 0 AND price <> 'NaN'", name="price_zero_or_more"),
        sa.CheckConstraint("quantity >= 0", name="quantity_zero_or_more"),
        sa.Index(None, "user_id", "created_at"),
        sa.Index(
            "uq_example_items_user_id_name_live",
            "user_id",
            "name",
            unique=True,
            postgresql_where=sa.text("deleted_at IS NULL"),
        ),
        sa.Index(None, "tags", postgresql_using="gin"),
    )

    id: Mapped[int] = mapped_column(sa.BigInteger, sa.Identity(always=True), primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id", ondelete="RESTRICT"))
    name: Mapped[str] = mapped_column(sa.Text)
    description: Mapped[str | None] = mapped_column(sa.Text)
    price: Mapped[Decimal] = mapped_column(sa.Numeric(10, 2), server_default="0.00")
    quantity: Mapped[int] = mapped_column(sa.BigInteger, server_default="0")
    is_active: Mapped[bool] = mapped_column(server_default=sa.true())
    deleted_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True), comment="NULL while the item lives")
    # SQLAlchemy's models keep the name `metadata` for themselves; only the attribute needs another.
    metadata_: Mapped[dict] = mapped_column("metadata", JSONB, server_default=sa.text("'{}'"))
    tags: Mapped[list[str]] = mapped_column(ARRAY(sa.Text), server_default=sa.text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), server_default=sa.func.now())
    updated_at: Mapped[datetime] = mapped_column(
        sa.DateTime(timezone=True),
        server_default=sa.func.now(),
        server_onupdate=sa.FetchedValue(),  # by the table's trigger, so that psql's writes count too
    )
