"""What can be set about the simulated shop. Moves no data."""

from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

DAY_US: Final = 86_400_000_000
"""Microseconds in a day; the shop keeps its times as microseconds since 1970 UTC."""
DEFAULT_CURRENCY: Final = "USD"
"""The currency of the shop's prices where nothing else is said."""

Days = Annotated[int, Field(ge=1, le=3_650)]
Share = Annotated[float, Field(ge=0, le=0.5)]


class HistoryConfig(BaseModel):
    """What all simulated shops have in common: a seed, and a history of whole days.

    The fingerprint follows from the order of the fields: do not change it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 7
    customers: int
    start: AwareDatetime
    history_days: Days

    @property
    def start_us(self) -> int:
        """The first midnight (UTC) of the shop, microseconds since 1970."""
        return int(self.start.timestamp()) * 1_000_000 // DAY_US * DAY_US

    @property
    def end_us(self) -> int:
        """The end of the history, microseconds since 1970; what comes after it is live."""
        return self.start_us + self.history_days * DAY_US

    @property
    def fingerprint(self) -> str:
        """A short name of these settings; event ids begin with it, so that two shops never share one."""
        return sha256(self.model_dump_json().encode()).hexdigest()[:8]


class ShopConfig(HistoryConfig):
    """One simulated shop. Two shops with equal settings are the same shop, event for event.

    ``customers`` is how many join within ``history_days`` (the expected number); the shop goes on after that
    at the pace it has then. Daily arrivals grow by the part ``growth`` over the history (1 = they double).
    ``passers_by`` are visitors who never buy, per joining customer. The shares are parts of all events: sent
    twice, received late, and records that are no events at all.
    """

    customers: Annotated[int, Field(ge=1, le=5_000_000)] = 3_000
    start: AwareDatetime = datetime(2022, 1, 1, tzinfo=UTC)
    history_days: Days = 730
    growth: Annotated[float, Field(ge=0, le=20)] = 1
    passers_by: Annotated[float, Field(ge=0, le=20)] = 2
    duplicate_share: Share = 0.005
    late_share: Share = 0.003
    broken_share: Share = 0.001
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = DEFAULT_CURRENCY
