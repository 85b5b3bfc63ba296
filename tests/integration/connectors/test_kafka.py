"""Topics, publisher and heartbeat against a real broker. The tests share one log and run in this order."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Consumer, Message, Producer, TopicPartition, murmur2
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource

from connectors.files.replay import FileConnector
from connectors.kafka import heartbeat, positions, topics
from connectors.kafka.positions import read_position
from connectors.kafka.publisher import Publisher, publish_history
from connectors.kafka.topics import ensure_topics
from connectors.protocol import Record
from connectors.rows.mapping import load_mapping
from contracts.errors import LogMismatchError, StoreUnavailableError
from contracts.events import TICK_KEY, Tick, TransactionEvent, TransactionProperties
from contracts.settings import Settings
from contracts.topics import ALL_TOPICS, INPUT_TOPICS, POSITIONS, TRANSACTIONS, WEB_EVENTS
from contracts.wire import judge
from crmstream.observe import kafka as observed
from crmstream.observe.kafka import KafkaView

PARTITIONS = 3
PLACES = [(topic.name, number) for topic in INPUT_TOPICS for number in range(PARTITIONS)]
SETTINGS = Settings(partitions=PARTITIONS, buckets=6, heartbeat_idle_seconds=0.2)

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def broker(own_broker: str) -> str:
    ensure_topics(own_broker, PARTITIONS)
    return own_broker


def read_log(broker: str) -> dict[tuple[str, int], list[Message]]:
    """Everything in the input topics, by partition."""
    consumer = Consumer(
        {"bootstrap.servers": broker, "group.id": "tests", "enable.partition.eof": True, "enable.auto.commit": False}
    )
    consumer.assign([TopicPartition(*place, 0) for place in PLACES])
    log: dict[tuple[str, int], list[Message]] = {place: [] for place in PLACES}
    left = set(PLACES)
    while left:
        for message in consumer.consume(1_000, 0.2):
            place = (message.topic(), message.partition())
            if message.error() is None:
                log[place].append(message)
            else:
                left.discard(place)
    consumer.close()
    return log


def last_ticks(broker: str) -> dict[tuple[str, int], datetime | None]:
    """The time of each partition's last record, where that is a tick; publishers' notes are passed over."""
    moving = {
        place: [record for record in records if record.key() != TICK_KEY or tick_of(record).history is None]
        for place, records in read_log(broker).items()
    }
    return {
        place: tick_of(records[-1]).occurred_at if records and records[-1].key() == TICK_KEY else None
        for place, records in moving.items()
    }


def tick_of(record: Message) -> Tick:
    return Tick.model_validate_json(record.value())


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.2)


def publish_one(broker: str, at: datetime) -> None:
    event = TransactionEvent(
        event_id=at.isoformat(),
        name="Order Cancelled",
        customer_id="one",
        occurred_at=at,
        received_at=datetime.now(UTC),
        source="tests",
        properties=TransactionProperties(order_id="one"),
    )
    body = event.model_dump_json(exclude_none=True).encode()
    with Publisher(broker, PARTITIONS) as publisher:
        publisher.publish(Record(TRANSACTIONS.name, b"one", body, None))


@pytest.fixture
def beating(broker: str) -> Iterator[None]:
    """A heartbeat that runs."""
    stop = threading.Event()
    thread = threading.Thread(target=heartbeat.run, args=(SETTINGS, broker, stop))
    thread.start()
    yield
    stop.set()
    thread.join(30)
    assert not thread.is_alive()


def test_topics_have_their_partitions_and_retention(broker: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker})
    found = admin.list_topics(timeout=10).topics
    counts = {topic.name: len(found[topic.name].partitions) for topic in ALL_TOPICS}
    assert counts.pop(POSITIONS.name) == 1
    assert set(counts.values()) == {PARTITIONS}
    resource = ConfigResource(ConfigResource.Type.TOPIC, TRANSACTIONS.name)
    config = admin.describe_configs([resource])[resource].result(10)
    assert config["retention.ms"].value == str(365 * 86_400_000)
    assert config["retention.bytes"].value == str(TRANSACTIONS.retention_bytes_per_partition)
    resource = ConfigResource(ConfigResource.Type.TOPIC, POSITIONS.name)
    assert admin.describe_configs([resource])[resource].result(10)["cleanup.policy"].value == "compact"


def test_existing_topics_are_left_alone_and_another_count_is_refused(broker: str) -> None:
    ensure_topics(broker, PARTITIONS)
    with pytest.raises(LogMismatchError, match=f"CRM_PARTITIONS={PARTITIONS}"):
        ensure_topics(broker, PARTITIONS + 1)


def test_a_topic_that_trusts_producers_dates_is_refused_with_the_command_that_mends_it(broker: str) -> None:
    admin = AdminClient({"bootstrap.servers": broker})

    def date_by(kind: str) -> None:
        entry = ConfigEntry("message.timestamp.type", kind, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(ConfigResource.Type.TOPIC, WEB_EVENTS.name, incremental_configs=[entry])
        for future in admin.incremental_alter_configs([resource]).values():
            future.result(20)

    date_by("CreateTime")
    with pytest.raises(LogMismatchError, match=f"--topic {WEB_EVENTS.name} --add-config message.timestamp.type"):
        ensure_topics(broker, PARTITIONS)
    date_by("LogAppendTime")
    ensure_topics(broker, PARTITIONS)


def test_a_broker_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("connectors.kafka.topics.TIMEOUT_SECONDS", 0.5)
    with pytest.raises(StoreUnavailableError, match="CRM_KAFKA_BOOTSTRAP_SERVERS"):
        ensure_topics("127.0.0.1:1", PARTITIONS)


def test_the_heartbeat_leaves_an_empty_log_alone(broker: str, beating: None) -> None:
    time.sleep(1.5)
    assert not any(read_log(broker).values())


def test_a_history_is_in_the_log_in_order_with_its_ticks(broker: str, tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    days = [f"2020-01-{day:02}" for day in (1, 2, 5) for _ in range(20)]
    rows = [f"c{number % 7},purchase,{day} 12:00:00,1.25,1\n" for number, day in enumerate(days)]
    path.write_text("customer_id,kind,ts,amount,items\n" + "".join(reversed(rows)), encoding="utf-8")
    with Publisher(broker, PARTITIONS) as publisher:
        summary = publish_history(FileConnector(path, load_mapping("purchases")), publisher)
    assert (summary.events, summary.ticks) == (60, 4)
    seen: Counter[bytes] = Counter()
    for (topic, partition), records in read_log(broker).items():
        clock, ticks, notes = datetime(1970, 1, 1, tzinfo=UTC), [], []
        for record in records:
            if record.key() == TICK_KEY and (note := tick_of(record).history):
                notes.append(note)
                continue
            if record.key() == TICK_KEY:
                clock = tick_of(record).occurred_at
                ticks.append((clock.day, clock.hour))
                continue
            event = judge("transaction", record.value())
            assert topic == TRANSACTIONS.name
            assert partition == murmur2(record.key(), PARTITIONS)
            assert event.occurred_at >= clock
            assert abs(time.time() - record.timestamp()[1] / 1_000) < 3_600
            seen[record.key()] += 1
        assert ticks == [(1, 0), (2, 0), (5, 0), (5, 12)]
        assert (notes[:1] + notes[-1:] == ["open", "finished"]) is (partition == 0)
    assert sum(seen.values()) == 60


def test_a_history_whose_publisher_died_is_levelled(broker: str, beating: None) -> None:
    """One event past the last tick, and then silence: all partitions come to its time, and no further."""
    at = datetime(2020, 1, 6, 12, tzinfo=UTC)
    publish_one(broker, at)
    wait_for(lambda: sum(tick == at for tick in last_ticks(broker).values()) == len(PLACES) - 1)
    time.sleep(1.5)
    assert {tick for tick in last_ticks(broker).values() if tick} == {at}


def test_a_live_event_makes_all_clocks_follow_the_wall_clock(broker: str) -> None:
    """Run as the process that the stack runs, which ends cleanly on SIGTERM."""
    start = datetime.now(UTC)
    publish_one(broker, start)
    env = {
        "PATH": os.environ["PATH"], "CRM_KAFKA_BOOTSTRAP_SERVERS": broker, "CRM_PARTITIONS": str(PARTITIONS),
        "CRM_BUCKETS": "6", "CRM_HEARTBEAT_IDLE_SECONDS": "0.2",
    }  # fmt: skip
    root = Path(__file__).parents[3]
    process = subprocess.Popen([sys.executable, "-m", "crmstream.heartbeat"], cwd=root, env=env)
    try:
        floor = start - timedelta(seconds=1)
        wait_for(lambda: all(tick and tick >= floor for tick in last_ticks(broker).values()))
        before = last_ticks(broker)
        wait_for(lambda: all(tick and tick > (before[p] or start) for p, tick in last_ticks(broker).items()))
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert all(tick and tick <= datetime.now(UTC) for tick in last_ticks(broker).values())


def test_broken_records_without_end_do_not_stop_the_heartbeat(broker: str, beating: None) -> None:
    """Some come every 50 ms: the partition is never silent for its idle time, and its tick is soon out of sight."""
    place, over = (TRANSACTIONS.name, int(murmur2(b"x", PARTITIONS))), threading.Event()

    def publish() -> None:
        with Publisher(broker, PARTITIONS) as publisher:
            while not over.wait(0.05):
                for value in (b"{", None, b"\xff" * 100):
                    publisher.publish(Record(TRANSACTIONS.name, b"x", value, None))

    def ticked(since: datetime) -> bool:
        ticks = [tick_of(record).occurred_at for record in read_log(broker)[place] if record.key() == TICK_KEY]
        return max(ticks) >= since

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        start = datetime.now(UTC)
        wait_for(lambda: ticked(start))
        wait_for(lambda: ticked(start + timedelta(seconds=5)))
    finally:
        over.set()
        thread.join(60)
    wait_for(lambda: all(tick and tick >= start for tick in last_ticks(broker).values()))


def test_records_are_dated_by_the_broker(broker: str) -> None:
    """Else an event with a producer's old date would be refused as one from the future, or expire at once."""
    dates = []
    producer = Producer({"bootstrap.servers": broker})
    producer.produce(
        WEB_EVENTS.name, b"{", b"c", 0, timestamp=1_000, on_delivery=lambda _, sent: dates.append(sent.timestamp())
    )
    assert producer.flush(20) == 0
    ((kind, milliseconds),) = dates
    assert kind == TIMESTAMP_LOG_APPEND_TIME
    assert abs(milliseconds / 1_000 - time.time()) < 3_600


@contextmanager
def hanging(broker: str) -> Iterator[None]:
    """The broker's process stands still: it keeps its connections and answers nothing."""
    port = int(broker.rpartition(":")[2])
    listening = [
        (process, at.laddr.port)
        for process in psutil.Process().children(recursive=True)
        for at in process.net_connections()
        if at.status == "LISTEN"
    ]
    (process,) = {process for process, at in listening if at == port}
    process.suspend()
    try:
        yield
    finally:
        process.resume()


def test_the_heartbeat_waits_for_a_broker_that_hangs(
    broker: str, beating: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    floor = datetime.now(UTC)
    wait_for(lambda: all(tick and tick >= floor for tick in last_ticks(broker).values()))
    monkeypatch.setattr(heartbeat, "_TIMEOUT_SECONDS", 0.3)
    caplog.set_level(logging.INFO)
    with hanging(broker):
        wait_for(lambda: any("is away, trying again" in message for message in caplog.messages))
        time.sleep(2)  # several tries
    monkeypatch.undo()
    back = datetime.now(UTC)
    wait_for(lambda: any("is back" in message for message in caplog.messages))
    wait_for(lambda: all(tick and tick >= back - timedelta(seconds=1) for tick in last_ticks(broker).values()))
    assert len([message for message in caplog.messages if "is away" in message]) == 1


ASK: dict[str, Callable[[str], object]] = {
    "the heartbeat": lambda broker: heartbeat.Heartbeat(SETTINGS, broker).once(time.time_ns() // 1_000),
    "topics": lambda broker: ensure_topics(broker, PARTITIONS),
    "positions": lambda broker: read_position(broker, "nobody"),
    "status": lambda broker: KafkaView(broker).offsets(),
}


@pytest.mark.parametrize("ask", list(ASK))
def test_whoever_asks_a_broker_that_hangs_gets_an_error_that_they_expect(
    broker: str, ask: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A future of the client has no result in time: a TimeoutError, which is neither Kafka's error nor ours."""
    monkeypatch.setattr(heartbeat, "_TIMEOUT_SECONDS", 0.3)
    for module in (topics, positions, observed):
        monkeypatch.setattr(module, "TIMEOUT_SECONDS", 0.3)
    expected = (*heartbeat.AWAY, StoreUnavailableError) if ask == "the heartbeat" else StoreUnavailableError
    with hanging(broker), pytest.raises(expected):
        ASK[ask](broker)
