"""``crmstream connect debezium`` on a real broker: every change once, whatever dies."""

import json
import time
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from support.connector import Connector

from connectors.databases.times import OUT_OF_RANGE

pytestmark = pytest.mark.stack
FILE = """
    source: {source}
    tables:
      orders:
        name: Order Completed
        customer_id: customer
        occurred_at: {{column: at, format: unix_us}}
        properties:
          order_id: id
          total: {{column: total, type: money, currency: EUR}}
"""


@pytest.fixture
def connector(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Connector:
    return Connector(kafka, "", tmp_path_factory.mktemp("debezium"))


@pytest.fixture
def topic(kafka: str) -> str:
    """A topic of two partitions for the table public.orders."""
    name = f"t{uuid4().hex[:8]}.public.orders"
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(name, 2)])[name].result(20)
    return name


def fill(kafka: str, topic: str, numbers: range, **changes: Any) -> None:
    producer = Producer({"bootstrap.servers": kafka})
    for number in numbers:
        row = {"id": number, "customer": f"c{number}", "total": "1.25", "at": 1_700_000_000_000_000, **changes}
        body = {"op": "c", "before": None, "after": row, "source": {"schema": "public", "table": "orders"}}
        producer.produce(topic, json.dumps(body), json.dumps({"id": number}), number % 2)
    assert producer.flush(30) == 0


def orders(connector: Connector, source: str) -> Counter[int]:
    return Counter(int(event["properties"]["order_id"]) for event in connector.events(source))


def test_every_change_once_though_it_is_killed(connector: Connector, topic: str, kafka: str) -> None:
    source = f"dbz-{uuid4().hex[:8]}"
    file = connector.file(FILE.format(source=source))
    fill(kafka, topic, range(2_500))
    for seconds in (0.5, 0.9, 1.3):
        connector.start("debezium", topic, "--mapping", file)
        time.sleep(seconds)
        assert connector.alive, connector.told()
        connector.kill()
        fill(kafka, topic, range(int(seconds * 10_000), int(seconds * 10_000) + 50))
    done = connector.run("debezium", topic, "--mapping", file, "--once")
    assert done.code == 0, done.err
    wanted = [*range(2_500), *range(5_000, 5_050), *range(9_000, 9_050), *range(13_000, 13_050)]
    assert orders(connector, source) == Counter(wanted)
    group = Consumer({"bootstrap.servers": kafka, "group.id": f"crm-connector-debezium-{source}"})
    committed = group.committed([TopicPartition(topic, number) for number in range(2)], timeout=20)
    assert [place.offset for place in committed] == [1_250 + 75] * 2
    group.close()


def test_a_topic_that_was_made_anew_is_noticed_and_read_anew_when_told_so(
    connector: Connector, topic: str, kafka: str
) -> None:
    """Though it holds more by now than the old one, so that the old offsets are there."""
    source = f"dbz-{uuid4().hex[:8]}"
    arguments = ("debezium", topic, "--mapping", connector.file(FILE.format(source=source)))
    fill(kafka, topic, range(10))
    assert "10 events" in connector.run(*arguments, "--once").err
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.delete_topics([topic])[topic].result(20)
    until_gone(admin, topic)
    admin.create_topics([NewTopic(topic, 2)])[topic].result(20)
    fill(kafka, topic, range(30))
    told = connector.run(*arguments, "--once")
    assert told.code == 1
    assert f"Topic {topic} was deleted and made anew" in told.err
    assert "run once with --drop" in told.err
    assert "The position is forgotten" in connector.run(*arguments, "--drop").out
    assert "30 events" in connector.run(*arguments, "--once").err
    events = connector.events(source)
    assert len(events) == 40
    assert len({event["event_id"] for event in events}) == 30


def until_gone(admin: AdminClient, topic: str) -> None:
    deadline = time.monotonic() + 30
    while topic in admin.list_topics(timeout=20).topics:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_cannot_be_read_is_refused_and_stops_nothing(connector: Connector, topic: str, kafka: str) -> None:
    source = f"dbz-{uuid4().hex[:8]}"
    fill(kafka, topic, range(1), total="BOI=")
    producer = Producer({"bootstrap.servers": kafka})
    for value in (b"{", None):
        producer.produce(topic, value, b"k", 1)
    assert producer.flush(30) == 0
    fill(kafka, topic, range(1, 3))
    arguments = ("debezium", topic, "--mapping", connector.file(FILE.format(source=source)), "--once", "--from")
    done = connector.run(*arguments, kafka.replace("127.0.0.1", "localhost"))  # by another name, as another Kafka is
    assert "2 events, 2 refused" in done.err, done.err
    assert sorted(field for field, _ in connector.refused(source)) == ["body", "properties.total"]
    assert orders(connector, source) == Counter([1, 2])


def test_rows_deletions_and_tombstones_are_what_they_are_in_each_form(
    connector: Connector, topic: str, kafka: str
) -> None:
    source = f"dbz-{uuid4().hex[:8]}"
    row = {"customer": "c", "total": "1.25", "at": 1_700_000_000_000_000, "due": None, "scan": None}
    unset = {"due": 9_223_372_036_825_200_000, "scan": "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="}
    values = [
        {**row, "id": 1, "op": "sale", "source": "web"},
        {**row, "id": 2, "__deleted": True},
        {**row, "id": 3, "__deleted": "true"},
        {**row, "id": 4, "__op": "d"},
        {"schema": None, "payload": None},
        {**row, "id": 5, **unset},
        {**row, "id": 6, "at": 9_223_372_036_825_200_000},
    ]
    producer = Producer({"bootstrap.servers": kafka})
    for number, value in enumerate(values):
        producer.produce(topic, json.dumps(value), json.dumps({"id": number}), 0)
    assert producer.flush(30) == 0
    text = FILE.format(source=source).replace("order_id: id", "order_id: id\n          due: due\n          scan: scan")
    done = connector.run("debezium", topic, "--mapping", connector.file(text), "--once")
    assert "2 events, 1 refused" in done.err, done.err
    assert connector.refused(source) == [("occurred_at", OUT_OF_RANGE)]
    plain, noted = (event["properties"] for event in connector.events(source))
    assert (plain["order_id"], plain.get("crm_notes")) == ("1", None)
    assert {"due", "scan"} & noted.keys() == set()
    assert sorted(note.partition(":")[0] for note in noted["crm_notes"]) == ["due", "scan"]


def test_a_topic_that_is_not_there_is_named(connector: Connector) -> None:
    file = connector.file(FILE.format(source="nobody"))
    told = connector.run("debezium", "no.such.topic", "--mapping", file)
    assert told.code == 1
    assert "has no topic no.such.topic" in told.err
