"""What the benchmarks work on: histories of the simulated shop, published into a log before anything is measured.

Older commits read this module too (``bench.py --against``), so it uses only what they have.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson

from connectors.kafka.publisher import Publisher, publish_history
from connectors.protocol import Record
from connectors.simulator.config import ShopConfig
from connectors.simulator.shop import Shop
from contracts.settings import Settings

if TYPE_CHECKING:
    from connectors.simulator.compact.shop import CompactShop

PROBES: Final = 3_000
"""Customers of their own whose scores are awaited when latency is measured."""
WEB: Final = "crm-web-events"


@dataclass(frozen=True)
class Workload:
    """A shop's history, and how near to live it is worked off: scores follow events below ``live_backlog_events``.

    A ``recent`` history ends at the last midnight, so that the shop can go on at the wall clock's time.
    """

    name: str
    about: str
    customers: int
    history_days: int
    passers_by: float
    live_backlog_events: int
    recent: bool = False
    probes: int = PROBES
    batch: int = 5_000
    """Records that a lane reads at once where steps are measured one by one."""

    def shop(self) -> Shop:
        """Make the shop; it has told nothing yet."""
        changes = {"start": datetime.now(UTC) - timedelta(days=self.history_days)} if self.recent else {}
        return Shop(ShopConfig(
            customers=self.customers, history_days=self.history_days, passers_by=self.passers_by, **changes
        ))  # fmt: skip


EVERYTHING: Final = 1_000_000_000
DEFAULT_BACKLOG: Final[int] = Settings.model_fields["live_backlog_events"].default
_LIVE: Final = "scores follow every batch, as in live operation and as in the loop"
_CATCH_UP: Final = "scores as of every day, and live ones near the log's end only"
_PACED: Final = "a history, and then events at the wall clock's time at a steady rate"

LIVE: Final = Workload("four busy days, live", _LIVE, 12_000, 4, 1, EVERYTHING)
CATCH_UP: Final = Workload("two years, catch-up", _CATCH_UP, 1_500, 730, 2, DEFAULT_BACKLOG, batch=300)
DEMO: Final = Workload("the demo's two years", _CATCH_UP, 2_000, 730, 2, DEFAULT_BACKLOG)
PACED: Final = Workload("a small shop, paced", _PACED, 3_000, 30, 2, DEFAULT_BACKLOG, recent=True)
LARGE: Final = Workload("50,000 customers, paced", _PACED, 50_000, 2, 0.2, DEFAULT_BACKLOG, recent=True)
QUICK: Final = Workload("ten days, live", _LIVE, 200, 10, 2, EVERYTHING)
SMALL: Final = Workload("one busy day, live", _LIVE, 2_000, 2, 1, EVERYTHING)
SMALL_CATCH_UP: Final = Workload("half a year, catch-up", _CATCH_UP, 250, 180, 2, DEFAULT_BACKLOG, batch=300)
WORKLOADS: Final = {each.name: each for each in (LIVE, CATCH_UP, DEMO, PACED, LARGE, QUICK, SMALL, SMALL_CATCH_UP)}


@dataclass(frozen=True)
class Compact:
    """Many customers with few events each; the history ends at a midnight, so many days before the last one.

    The days in between are for loads at any time of day: midnights that are crossed while events come in.
    """

    customers: int
    history_days: int
    live_backlog_events: int = DEFAULT_BACKLOG
    recent: bool = True
    probes: int = 500

    @property
    def name(self) -> str:
        """How :func:`workload_named` finds it again."""
        return f"{COMPACT} {self.customers} {self.history_days}"

    def shop(self) -> "CompactShop":
        """Make the shop; it has told nothing yet."""
        from connectors.simulator.compact.config import CompactConfig, start_before  # noqa: PLC0415 - not in older commits
        from connectors.simulator.compact.shop import CompactShop  # noqa: PLC0415

        start = start_before(datetime.now(UTC), self.history_days + FREE_DAYS)
        return CompactShop(CompactConfig(customers=self.customers, history_days=self.history_days, start=start))


COMPACT: Final = "compact"
FREE_DAYS: Final = 3
"""Days between the end of a compact history and now."""


def workload_named(name: str) -> "Workload | Compact":
    """Return a workload by its name."""
    if name.startswith(COMPACT):
        customers, days = name.split()[1:]
        return Compact(int(customers), int(days))
    return WORKLOADS[name]


class _Counting:
    """A connector of the shop's history that counts what passes through it."""

    def __init__(self, shop: Any):
        self._shop = shop
        self.topics: Counter[str] = Counter()

    def records(self) -> Iterator[Record]:
        """Yield the records of the history, and for a recent one a visit of every probe."""
        for record in self._shop.records(self._shop.config.end_us):
            self.topics[record.topic] += 1
            yield record


def publish(shop: Any, kafka: str, settings: Settings, *, probes: int) -> dict[str, int]:
    """Publish the history with its ticks; return how many records each topic got, without ticks."""
    history = _Counting(shop)
    with Publisher(kafka, settings.partitions, settings.sweep_hours) as publisher:
        for number in range(probes):
            at = shop.config.start_us + 1_000_000
            publisher.publish(probe(number, f"before-{number}", datetime.fromtimestamp(at / 1e6, UTC)))
        publish_history(history, publisher, until=shop.config.end_us)
    return dict(history.topics)


def probe(number: int, event_id: str, at: datetime) -> Record:
    """One visit of a probe: a customer who is signed in, so that the event has both ids."""
    customer, device = f"probe-{number:05}", f"probe-device-{number:05}"
    body = {
        "event_id": f"probe-{event_id}", "kind": "web", "name": "Product Viewed", "customer_id": customer,
        "anonymous_id": device, "occurred_at": at, "received_at": at, "source": "benchmark",
        "properties": {"session_id": f"s-{number}", "url": "https://shop.example/p/1", "product_id": "p-1"},
    }  # fmt: skip
    key = placing("web", customer, device).encode()
    return Record(WEB, key, orjson.dumps(body, option=orjson.OPT_UTC_Z), int(at.timestamp() * 1e6))


def placing(kind: str, customer: str, device: str) -> str:
    """The id that a record is keyed by: the contract's rule, or that of commits which key by customer first."""
    try:
        from contracts.identity import placing_id  # noqa: PLC0415 - older commits do not have it
    except ImportError:
        return customer or device
    return str(placing_id(kind, customer, device, None))
