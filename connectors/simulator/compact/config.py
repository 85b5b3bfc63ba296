"""What can be set about the compact shop. Moves no data."""

from datetime import datetime
from hashlib import sha256
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from connectors.simulator.config import DAY_US, DEFAULT_CURRENCY

MOST_CUSTOMERS: Final = 50_000_000


class CompactConfig(BaseModel):
    """One compact shop. Two shops with equal settings are the same shop, event for event.

    ``customers`` join evenly within ``history_days``: each with a visit of a new device, a sign-in and an order. Later
    each visits ``visits_per_day`` times a day. After the history nobody joins, and the customers go on visiting.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 7
    customers: Annotated[int, Field(ge=1, le=MOST_CUSTOMERS)] = 1_000_000
    start: AwareDatetime
    history_days: Annotated[int, Field(ge=1, le=3_650)] = 30
    visits_per_day: Annotated[float, Field(ge=0, le=10)] = 0.03
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = DEFAULT_CURRENCY

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


def start_before(end: datetime, days: int) -> datetime:
    """Return the start of a history of so many days that ends at the last midnight (UTC) before ``end``."""
    return datetime.fromtimestamp((int(end.timestamp()) // 86_400 - days) * 86_400, end.tzinfo)
