"""A log in which one lane stands still, because its records are invalid, while another has ten days of orders."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from confluent_kafka import Producer, murmur2
from support.history import PARTITIONS

from connectors.kafka.publisher import Publisher
from contracts.topics import TRANSACTIONS, WEB_EVENTS

FIRST = datetime(2024, 3, 1, tzinfo=UTC)
DAYS = 10
ORDERS, BROKEN = 1_200, 30


def customer_of(partition: int) -> str:
    """A customer of a lane."""
    return next(f"c-{n}" for n in range(1_000) if murmur2(f"c-{n}".encode(), PARTITIONS) == partition)


def event(number: int, customer: str, at: datetime, kind: str, name: str, **properties: Any) -> bytes:
    """The body of an event."""
    return orjson.dumps({
        "event_id": f"{kind}-{number}", "kind": kind, "name": name, "customer_id": customer, "occurred_at": at,
        "received_at": at, "source": "test", "properties": properties, "schema_version": 1,
    })  # fmt: skip


def micros(at: datetime) -> int:
    """Microseconds since 1970."""
    return int(at.timestamp() * 1e6)


def publish_stalled(kafka: str) -> None:
    """Break the web topic of lane 0 on the first day; lane 1, of the other worker, has orders of ten days."""
    producer = Producer({"bootstrap.servers": kafka, "acks": "all"})
    with Publisher(kafka, PARTITIONS, source="test") as publisher:
        publisher.tick(micros(FIRST))
    web, orders = customer_of(0), customer_of(1)
    for number in range(BROKEN):
        producer.produce(WEB_EVENTS.name, f"broken {number}".encode(), web.encode(), 0)
    producer.produce(WEB_EVENTS.name, event(0, web, FIRST, "web", "Page Viewed"), web.encode(), 0)
    for number in range(ORDERS):
        at = FIRST + timedelta(days=DAYS) * number / ORDERS
        body = event(number, orders, at, "transaction", "Order Completed", total=5, currency="USD")
        producer.produce(TRANSACTIONS.name, body, orders.encode(), 1)
    assert producer.flush(30) == 0
    with Publisher(kafka, PARTITIONS, source="test") as publisher:
        publisher.tick(micros(FIRST + timedelta(days=DAYS)))
