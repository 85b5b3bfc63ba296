"""What can be set about the compact shop. Moves no data."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import Field

from connectors.simulator.config import DEFAULT_CURRENCY, Days, HistoryConfig

MOST_CUSTOMERS: Final = 50_000_000


class CompactConfig(HistoryConfig):
    """One compact shop. Two shops with equal settings are the same shop, event for event.

    ``customers`` join evenly within ``history_days``: each with a visit of a new device, a sign-in and an order. Later
    each visits ``visits_per_day`` times a day. After the history nobody joins, and the customers go on visiting.
    """

    customers: Annotated[int, Field(ge=1, le=MOST_CUSTOMERS)] = 1_000_000
    history_days: Days = 30
    visits_per_day: Annotated[float, Field(ge=0, le=10)] = 0.03
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = DEFAULT_CURRENCY


def start_before(end: datetime, days: int) -> datetime:
    """Return the start of a history of so many days that ends at the last midnight (UTC) before ``end``."""
    return datetime.fromtimestamp((int(end.timestamp()) // 86_400 - days) * 86_400, end.tzinfo)
