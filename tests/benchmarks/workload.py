"""What the benchmarks work on: histories of the simulated shop, published into a log before anything is measured."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from connectors.kafka.publisher import Publisher, publish_history
from connectors.protocol import Record
from connectors.simulator.config import ShopConfig
from connectors.simulator.shop import Period, Shop
from contracts.settings import Settings


@dataclass(frozen=True)
class Workload:
    """A shop's history, and how near to live it is worked off: scores follow events below ``live_backlog_events``."""

    name: str
    about: str
    shop: ShopConfig
    live_backlog_events: int


EVERYTHING: Final = 1_000_000_000
DEFAULT_BACKLOG: Final[int] = Settings.model_fields["live_backlog_events"].default
_LIVE: Final = "scores follow every batch, as in live operation and as in the loop"
_CATCH_UP: Final = "scores as of every day, and live ones near the log's end only"

FULL: Final = (
    Workload("four busy days, live", _LIVE, ShopConfig(customers=12_000, history_days=4, passers_by=1), EVERYTHING),
    Workload("two years, catch-up", _CATCH_UP, ShopConfig(customers=1_500, history_days=730), DEFAULT_BACKLOG),
)
QUICK: Final = (
    Workload("ten days, live", _LIVE, ShopConfig(customers=200, history_days=10), EVERYTHING),
)


class _Counting:
    """A connector that counts what passes through it."""

    def __init__(self, inner: Period):
        self._inner = inner
        self.topics: Counter[str] = Counter()

    def records(self) -> Iterator[Record]:
        """Yield the records of the inner connector."""
        for record in self._inner.records():
            self.topics[record.topic] += 1
            yield record


def publish(workload: Workload, kafka: str, settings: Settings) -> dict[str, int]:
    """Publish the history with its ticks; return how many records each topic got, without ticks."""
    shop = Shop(workload.shop)
    connector = _Counting(Period(shop, workload.shop.end_us))
    with Publisher(kafka, settings.partitions, settings.sweep_hours) as publisher:
        publish_history(connector, publisher, until=workload.shop.end_us)
    return dict(connector.topics)
