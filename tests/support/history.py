"""A small but rich history for whole-system tests: a simulated shop with all its noise, and real purchases among it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import heappop, heappush, merge
from itertools import takewhile

from support.data import real

from connectors.files.replay import FileConnector
from connectors.kafka.publisher import Publisher, Summary, publish_history
from connectors.kafka.topics import ensure_topics
from connectors.protocol import Record
from connectors.rows.mapping import load_mapping
from connectors.simulator.config import DAY_US, ShopConfig
from connectors.simulator.shop import Shop
from contracts.outcomes import Outcome
from contracts.times import SECOND
from contracts.unlinks import OWN_SOURCE

PARTITIONS = 4
UNDONE_AFTER = 2 * DAY_US
OUTCOMES = (
    Outcome(name="churn", within_days=20, happens=False, of="buyers"),
    Outcome(name="opportunity", within_days=10, happens=True),
)
"""Windows that close within the history."""
SLOWLY = {"epoch_seconds": 0.2, "replay_epoch_days": 6, "max_batch_events": 50}
"""Settings with which the history takes some ten seconds, so that something can happen in its middle."""
EVEN_SLOWER = SLOWLY | {"replay_epoch_days": 2}
"""The same for disturbances that strike when a part of the results is durable: several workers publish that late."""
SHOP = ShopConfig(
    seed=5,
    customers=150,
    start=datetime(1997, 1, 1, tzinfo=UTC),
    history_days=80,
    passers_by=0.5,
    duplicate_share=0.02,
    late_share=0.02,
    broken_share=0.005,
)

END_US = SHOP.end_us + DAY_US
"""Ticks follow until here."""


@dataclass(frozen=True)
class RichHistory:
    """A simulated shop of 150 customers over 80 days, and every 40th customer of CDNOW, in order of receipt.

    Some devices are unlinked two days after they were linked.
    """

    def records(self) -> Iterator[Record]:
        """Yield the records."""
        simulated = ((sent.received_at, sent.record) for sent in Shop(SHOP).sent(SHOP.end_us))
        bought = ((record.occurred_at or 0, record) for record in cdnow_records(every=40))
        early = takewhile(lambda pair: pair[0] < SHOP.end_us, bought)
        undone: list[tuple[int, int, Record]] = []
        for number, (at, record) in enumerate(merge(simulated, early, key=lambda pair: pair[0])):
            while undone and undone[0][0] <= at:
                yield heappop(undone)[2]
            yield record
            if number % 5 == 0 and b'"Identify"' in (record.value or b""):
                unlink = as_unlink(record, at + UNDONE_AFTER)
                if unlink is not None:
                    heappush(undone, (at + UNDONE_AFTER, number, unlink))


def as_unlink(record: Record, at: int) -> Record | None:
    """Make the Unlink that undoes an Identify of a device; None if it links none."""
    try:
        said = json.loads(record.value or b"")
    except ValueError:
        return None
    if not said.get("customer_id") or not said.get("anonymous_id"):
        return None
    moment = datetime.fromtimestamp(at / 1e6, UTC).isoformat()
    event = said | {"event_id": f"{said['event_id']}-undone", "name": "Unlink", "source": OWN_SOURCE}
    event |= {"occurred_at": moment, "received_at": moment, "properties": {"previous_id": event.pop("customer_id")}}
    return record._replace(value=json.dumps(event).encode(), occurred_at=at)


def cdnow_records(every: int) -> Iterator[Record]:
    """Yield the purchases of every n-th customer of CDNOW."""
    connector = FileConnector(real("data/cdnow/CDNOW_master.txt"), load_mapping("cdnow"))
    return (record for record in connector.records() if int(record.key or b"0") % every == 0)


def part_read(clocks: Mapping[str, float]) -> float:
    """The part of the days (0 to 1) that the slowest lane has read, by the lanes' clocks; 0 while one is not known."""
    if len(clocks) < PARTITIONS:
        return 0.0
    return (min(clocks.values()) * SECOND - SHOP.start_us) / (END_US - SHOP.start_us)


def publish_rich_history(bootstrap_servers: str) -> Summary:
    """Publish it, with its ticks."""
    ensure_topics(bootstrap_servers, PARTITIONS)
    with Publisher(bootstrap_servers, PARTITIONS) as publisher:
        return publish_history(RichHistory(), publisher, until=END_US)
