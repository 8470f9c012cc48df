"""What the application takes for granted."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Coupon(Base):
    """A code that takes some per cent off a price, until it is used."""

    __tablename__ = "coupons"
    __table_args__ = (
        sa.PrimaryKeyConstraint("id", name="pk_coupons"),
        sa.CheckConstraint("percent <= 90", name="ck_coupons_percent"),
        sa.Index("uq_coupons_code_unused", "code", unique=True, postgresql_where=sa.text("used_at IS NOT NULL")),
    )

    id: Mapped[int]
    code: Mapped[str] = mapped_column(sa.String(20))
    percent: Mapped[int] = mapped_column(server_default="0")
    used_at: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
