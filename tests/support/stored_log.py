"""A small log kept in the repository, by partition: the log of the stored state in ``tests/fixtures``."""

import json
import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from confluent_kafka import Producer

from contracts.outcomes import Outcome

FIXTURES = Path(__file__).parents[1] / "fixtures"
FILE = FIXTURES / "log.jsonl.xz"
PARTITIONS = 2
SETTINGS: dict[str, object] = {
    "base_currency": "USD",
    "partitions": PARTITIONS,
    "buckets": 2,
    "outcomes": (
        Outcome(name="churn", within_days=12, happens=False, of="buyers"),
        Outcome(name="opportunity", within_days=8, happens=True),
    ),
    "training_stride_days": 2,
    "dormant_days": 25,
    "visitor_days": 7,
    "duplicate_window_events": 2_000,
    "heartbeat_idle_seconds": 3_600,
    "collector": False,
}
"""The settings with which the log is read: the stored state depends on some of them."""


class Sent(NamedTuple):
    """A record with its place. ``later`` says that it was written after the state was stored."""

    topic: str
    partition: int
    key: str | None
    value: str | None
    later: bool


def stored_log() -> Iterator[Sent]:
    """Yield the records in the order in which they were written."""
    with lzma.open(FILE, "rt", encoding="utf-8") as file:
        for line in file:
            yield Sent(*json.loads(line))


def write(bootstrap_servers: str, records: Iterable[Sent]) -> None:
    """Append records to a log; those of a partition keep their order and so get the same offsets each time."""
    producer = Producer({"bootstrap.servers": bootstrap_servers, "enable.idempotence": True, "linger.ms": 10})
    for sent in records:
        key, value = (text if text is None else text.encode() for text in (sent.key, sent.value))
        producer.produce(sent.topic, value, key, sent.partition)
        producer.poll(0)
    assert not producer.flush(30), "Kafka did not take the log"
