"""What the simulated shop knows and its events do not say: who left when. For tests and evaluation."""

from datetime import UTC, datetime, timedelta
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def customer_id(number: int) -> str:
    """Return the id of the customer who joined as ``number``-th, counted from 0."""
    return f"c-{number + 1:06d}"


def to_datetime(microseconds: int) -> datetime:
    """Microseconds since 1970 UTC as a time."""
    return _EPOCH + timedelta(microseconds=microseconds)


class CustomerTruth(BaseModel):
    """One customer.

    ``left_at`` is None while the customer is still there; ``gap_days`` is the mean time between orders at
    average pace, ``regularity`` the shape of those gaps (1 is random, more is more regular).
    """

    model_config = ConfigDict(frozen=True)

    customer_id: str
    joined_at: datetime
    left_at: datetime | None
    gap_days: float
    regularity: float

    @classmethod
    def of(cls, number: int, row: Any, now_us: int) -> Self:
        """Read one row of the population's table, as of ``now_us``."""
        leaves_at = int(row["leaves_at"])
        return cls(
            customer_id=customer_id(number),
            joined_at=to_datetime(int(row["joined_at"])),
            left_at=to_datetime(leaves_at) if leaves_at < now_us else None,
            gap_days=round(1 / float(row["rate"]), 3),
            regularity=round(float(row["regularity"]), 3),
        )


class NoiseCounts(BaseModel):
    """How many records were told, and how many of them were repeats, late, or no events at all."""

    model_config = ConfigDict(frozen=True)

    records: int
    duplicates: int
    late: int
    broken: int


class ShopTruth(BaseModel):
    """The truth about everything told before ``until``."""

    model_config = ConfigDict(frozen=True)

    until: datetime
    customers: tuple[CustomerTruth, ...]
    counts: NoiseCounts
