"""Garbage on every topic: the flow goes on, and each record is found in the dead letters with the field at fault."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Consumer, Producer, TopicPartition, murmur2
from support.flow import Flow, Log
from support.history import PARTITIONS

from connectors.kafka.publisher import Publisher, tick_body
from contracts.events import TICK_KEY, Kind
from contracts.settings import Settings
from contracts.topics import DEAD_LETTERS, TOPIC_OF_KIND
from sinks.clients import clickhouse_client

CUSTOMER = "c-garbage"
SECRET = "very-private-value"  # what a dead letter's reason must never repeat
NOON = "2024-03-01T12:00:00Z"
LONG_AHEAD, LONG_AHEAD_US = "2099-01-01T00:00:00Z", 4_070_908_800_000_000
NAME: dict[Kind, str] = {
    "web": "Page Viewed", "transaction": "Order Completed", "service": "Ticket Opened", "identity": "Identify",
}  # fmt: skip
PROPERTIES: dict[Kind, dict[str, Any]] = {
    "web": {}, "transaction": {"total": 5, "currency": "USD"}, "service": {"ticket_id": "t-1"}, "identity": {},
}  # fmt: skip


@dataclass(frozen=True)
class Bad:
    """A record that is no event, and the field that its dead letter must name."""

    field: str
    body: bytes | None
    key: bytes = CUSTOMER.encode()


def event(kind: Kind, **changes: Any) -> dict[str, Any]:
    """A valid event, with changes; None takes a field away."""
    fields = {
        "event_id": f"e-{kind}", "kind": kind, "name": NAME[kind], "customer_id": CUSTOMER, "occurred_at": NOON,
        "received_at": NOON, "source": "test", "properties": PROPERTIES[kind], "schema_version": 1,
    } | changes  # fmt: skip
    return {name: value for name, value in fields.items() if value is not None}


def changed(field: str, kind: Kind, **changes: Any) -> Bad:
    """A valid event with one field spoilt."""
    return Bad(field, orjson.dumps(event(kind, **changes)))


def garbage(kind: Kind) -> list[Bad]:
    """Every sort of garbage that fits on the topic of a kind."""
    good = orjson.dumps(event(kind))
    bad = [
        Bad("body", b""),
        Bad("body", None),
        Bad("body", SECRET.encode()),
        Bad("body", b'{"event_id": "\xff\xfe"}'),
        Bad("body", good[:-1]),
        Bad("body", b"[" * 20_000),
        Bad("body", orjson.dumps(event(kind, properties={"long": SECRET * 4_000}))),
        Bad("body", b"[1, 2]"),
        Bad("body", b"not a time", TICK_KEY),
        Bad("occurred_at", tick_body(-1, "test"), TICK_KEY),
        Bad("occurred_at", tick_body(LONG_AHEAD_US, "test"), TICK_KEY),
        changed("event_id", kind, event_id=None),
        changed("event_id", kind, event_id=7),
        changed("event_id", kind, event_id=SECRET * 20),
        changed("customer_id", kind, customer_id=None),
        changed("customer_id", kind, customer_id=""),
        changed("customer_id", kind, customer_id=f"{SECRET}\u0000"),
        changed("customer_id", kind, customer_id=stray_customer()),
        Bad("kind", orjson.dumps(event(kind) | {"kind": "web" if kind != "web" else "service"})),
        changed("occurred_at", kind, occurred_at=LONG_AHEAD),
        changed("occurred_at", kind, occurred_at="1969-12-31T23:59:59Z"),
        changed("occurred_at", kind, occurred_at="2024-03-01T12:00:00"),
        changed("occurred_at", kind, occurred_at=SECRET),
        changed("received_at", kind, received_at=LONG_AHEAD),
        changed("received_at", kind, occurred_at=LONG_AHEAD, received_at=LONG_AHEAD),
        changed("received_at", kind, received_at=None),
        changed("schema_version", kind, schema_version=2),
        changed("unheard_of", kind, unheard_of=SECRET),
        changed("properties", kind, properties=SECRET),
    ]
    if kind == "transaction":
        bad += [
            Bad("properties.total", good.replace(b'"total":5', b'"total":NaN')),
            changed("properties.total", kind, properties={"total": 1e300, "currency": "USD"}),
            changed("properties.total", kind, properties={"total": -1, "currency": "USD"}),
            changed("properties.total", kind, properties={"total": SECRET, "currency": "USD"}),
            changed("properties.total", kind, properties={}),
            changed("properties.currency", kind, properties={"total": 5}),
            changed("properties.currency", kind, properties={"total": 5, "currency": "euros"}),
        ]
    if kind == "service":
        bad += [
            changed("properties.ticket_id", kind, properties={}),
            changed("properties.score", kind, name="CSAT Submitted", properties={"score": 11}),
        ]
    return bad


def stray_customer() -> str:
    """A customer whose records belong into another partition than ``CUSTOMER``'s."""
    home = murmur2(CUSTOMER.encode(), PARTITIONS)
    return next(f"s-{n}" for n in range(100) if murmur2(f"s-{n}".encode(), PARTITIONS) != home)


def test_garbage_stops_nothing_and_is_found_with_its_reason(folder: Path) -> None:
    unset = dict.fromkeys(("kafka_bootstrap_servers", "clickhouse_url", "redis_url"))
    with Flow(Settings(data_dir=folder, collector=False, **unset)) as flow:  # type: ignore[arg-type]
        expected = publish_garbage(flow.endpoints.kafka)
        flow.drain(Log(flow.endpoints.kafka, PARTITIONS))
        client = clickhouse_client(flow.endpoints.clickhouse_url, "crm")
        select = "SELECT topic, log_partition, log_offset, field, reason FROM dead_letters FINAL"
        rows = client.query(select).result_rows
        found = {(topic, partition, offset): (field, reason) for topic, partition, offset, field, reason in rows}
        assert len(found) == len(rows), "each once"
        assert found.keys() == expected.keys()
        wrong = {place: (field, expected[place]) for place, (field, _) in found.items() if field != expected[place]}
        assert wrong == {}
        assert all(reason.startswith(f"{field}: ") and SECRET not in reason for field, reason in found.values())
        assert len(dead_letters_in_kafka(flow.endpoints.kafka)) >= len(expected)
        for kind in NAME:
            table = {"web": "web_events", "transaction": "transactions"}.get(kind, f"{kind}_events")
            assert client.query(f"SELECT event_id FROM {table} FINAL").result_rows == [(f"e-{kind}",)]
        newest = client.query("SELECT max(as_of) FROM customer_daily").first_row[0]
        assert newest.year == 2024, "no clock was moved by 2099"
        assert SECRET not in flow.told()


def publish_garbage(bootstrap_servers: str) -> dict[tuple[str, int, int], str]:
    """Publish all garbage with a valid event behind it; return the invalid field by the first position of each."""
    placed: dict[tuple[str, int, int], str] = {}
    home = murmur2(CUSTOMER.encode(), PARTITIONS)
    producer = Producer({"bootstrap.servers": bootstrap_servers, "acks": "all"})

    def note(field: str) -> Any:
        def delivered(error: object, message: Any) -> None:
            assert error is None
            placed[message.topic(), message.partition(), message.offset()] = field

        return delivered

    with Publisher(bootstrap_servers, PARTITIONS, source="test") as publisher:
        publisher.tick(1_709_251_200_000_000)  # 2024-03-01
    for kind in NAME:
        topic = TOPIC_OF_KIND[kind].name
        known = set()  # equal bytes are one dead letter, and no body is an empty one
        for bad in garbage(kind):
            content = (bad.key, bad.body or b"")
            report = None if content in known else note(bad.field)
            known.add(content)
            producer.produce(topic, bad.body, bad.key, home, on_delivery=report)
        producer.produce(topic, orjson.dumps(event(kind)), CUSTOMER.encode(), home)
    assert producer.flush(30) == 0
    with Publisher(bootstrap_servers, PARTITIONS, source="test") as publisher:
        publisher.tick(1_709_424_000_000_000)  # two days later
    return placed


def dead_letters_in_kafka(bootstrap_servers: str) -> list[dict[str, bytes]]:
    """The headers of all records in the topic of dead letters."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "test", "enable.auto.commit": False})
    headers = []
    for partition in range(PARTITIONS):
        place = TopicPartition(DEAD_LETTERS.name, partition, 0)
        _, end = consumer.get_watermark_offsets(place, timeout=20)
        consumer.assign([place])
        messages = [message for message in consumer.consume(end, 10) if message.error() is None] if end else []
        assert len(messages) == end
        headers += [dict(message.headers()) for message in messages]
    consumer.close()
    assert all("__connect.errors.exception.message" in each for each in headers)
    return headers
