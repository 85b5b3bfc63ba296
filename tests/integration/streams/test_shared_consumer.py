"""The shared consumer against a real broker: pausing loses nothing, lanes are added while others are read."""

import time
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError, Producer
from support.broker import fresh_broker

from connectors.kafka.topics import ensure_topics
from contracts.topics import IDENTITIES, TRANSACTIONS, WEB_EVENTS
from streams.read.consumer import Bound, SharedConsumer, connect

pytestmark = pytest.mark.stack
PARTITIONS = 2
COUNT = 30_000
PLACES = [(topic.name, partition) for topic in (WEB_EVENTS, TRANSACTIONS) for partition in range(PARTITIONS)]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A broker with four logs of many records each."""
    with fresh_broker(tmp_path_factory.mktemp("broker")) as address:
        ensure_topics(address, PARTITIONS)
        write(address, COUNT)
        yield address


def write(address: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": address, "log_level": 0, "queue.buffering.max.messages": 1_000_000})
    for number in range(count):
        for topic, partition in PLACES:
            producer.produce(topic, f"{number}".encode() * 10, partition=partition)
    assert producer.flush(60) == 0


def test_everything_comes_once_and_in_order_whatever_is_paused(broker: str) -> None:
    shared = SharedConsumer(connect(broker), Bound(messages=1_000))
    found: dict[tuple[str, int], list[int]] = {place: [] for place in PLACES}
    ends = set()
    shared.assign(0, {WEB_EVENTS.name: 0, TRANSACTIONS.name: 0})
    deadline, rounds = time.monotonic() + 60, 0
    while ends != set(PLACES):
        assert time.monotonic() < deadline, {place: len(offsets) for place, offsets in found.items()}
        rounds += 1
        if rounds == 20:
            shared.assign(1, {WEB_EVENTS.name: 0, TRANSACTIONS.name: 0})
        shared.poll(0, wait=True)
        for index, (topic, partition) in enumerate(PLACES[: 1 + 3 * (rounds > 40)] if rounds < 60 else PLACES):
            if rounds < 20 and partition == 1:
                continue
            for message in shared.take(topic, partition, 300 * (index + 1) if rounds >= 20 or partition == 0 else 0):
                if message.error() is None:
                    found[topic, partition].append(message.offset())
                elif message.error().code() == KafkaError._PARTITION_EOF:
                    ends.add((topic, partition))
    assert all(offsets == list(range(COUNT)) for offsets in found.values())
    assert shared.known_end(WEB_EVENTS.name, 0) == COUNT
    shared.release(0)
    shared.release(1)


def test_an_idle_process_costs_little(broker: str) -> None:
    """Polls at the pace at which idle lanes rest take about a per cent of a core, the client's threads included."""
    shared = SharedConsumer(connect(broker))
    shared.assign(0, {IDENTITIES.name: 0})
    for _ in range(100):
        shared.poll(0, wait=True)
        time.sleep(0.01)
    before, start = time.process_time(), time.monotonic()
    while time.monotonic() - start < 3:
        shared.poll(0, wait=False)
        time.sleep(0.02)
    assert (time.process_time() - before) / (time.monotonic() - start) < 0.1
    shared.release(0)
