"""Transactions in the log: markers and what was given up take up offsets, and nobody must stumble over them."""

import time
from datetime import UTC, datetime

import pytest
from confluent_kafka import KafkaException, Producer, TopicPartition
from support.connector import PARTITIONS, read_log

from connectors.door.door import Door
from connectors.kafka.positions import read_position
from connectors.kafka.publisher import partition_of
from connectors.kafka.tail import LOOK_BACK, TailReader
from connectors.kafka.topics import ensure_topics
from connectors.kafka.transactions import TakenOverError, TransactionalPublisher
from connectors.protocol import Record
from connectors.sources.source import Source
from contracts.rates import Rates
from contracts.topics import CONSUMER_GROUP, INPUT_TOPICS, POSITIONS, SERVICE_EVENTS
from crmstream.drain import wait_until_drained
from crmstream.observe.kafka import KafkaView
from crmstream.observe.status import topic_states
from streams.read.config import SourceConfig
from streams.read.consumer import SharedConsumer, connect
from streams.read.lane import LanePolicy, LaneState
from streams.read.source import LaneReader
from streams.read.validation import DecodePolicy

pytestmark = pytest.mark.stack
HOUR = 3_600_000_000
DOOR = Door(Source(name="markers"))


@pytest.fixture(scope="module")
def broker(kafka: str) -> str:
    ensure_topics(kafka, PARTITIONS)
    return kafka


def event(customer: str, number: int = 0) -> Record:
    now = datetime.now(UTC)
    draft = {
        "event_id": f"{customer}-{number}", "name": "Ticket Opened", "customer_id": customer, "occurred_at": now,
        "received_at": now, "properties": {"ticket_id": "1"},
    }  # fmt: skip
    return DOOR.admit(draft, draft)


def give_up(broker: str, records: list[Record]) -> None:
    """Write records in a transaction that is given up after they have reached Kafka."""
    producer = Producer({"bootstrap.servers": broker, "transactional.id": "gives-up", "log_level": 0})
    producer.init_transactions(30)
    producer.begin_transaction()
    for record in records:
        producer.produce(record.topic, record.value, record.key, partition_of(record, PARTITIONS))
    assert producer.flush(30) == 0
    producer.abort_transaction(30)


@pytest.fixture(scope="module")
def written(broker: str) -> str:
    """Partitions that end in the marker of a transaction, and one that ends in many records that were given up."""
    publisher = TransactionalPublisher(broker, PARTITIONS, "markers")
    publisher.write([event(f"kept-{number}") for number in range(20)], {"at": 1})
    give_up(broker, [event("kept-0", number) for number in range(60)])
    give_up(broker, [Record(POSITIONS.name, b"markers", b'{"at":2}', None)])
    return broker


def test_only_what_was_committed_is_read(written: str) -> None:
    mine = sorted(message.key() for message in read_log(written) if (message.key() or b"").startswith(b"kept-"))
    assert mine == sorted(f"kept-{number}".encode() for number in range(20))
    assert read_position(written, "markers") == {"at": 1}


def test_lanes_come_to_the_end_and_no_lag_is_left(written: str) -> None:
    policy = DecodePolicy(24 * HOUR, PARTITIONS, PARTITIONS, Rates("EUR"))
    config = SourceConfig(written, policy, LanePolicy(10**15, 10**15, 5_000), 100, lambda: False)
    customers: list[str] = []
    consumer = connect(written)
    shared = SharedConsumer(consumer)
    for partition in range(PARTITIONS):
        reader = LaneReader(partition, config, shared, None)
        at = LaneState.of_plain(reader.snapshot())
        while not at.at_end or at.is_behind(policy.interval):
            for batch in reader.next_batch():
                customers += batch.people.customers.tolist()
            time.sleep(0.01)  # the engine rests, too; each snapshot publishes positions
            at = LaneState.of_plain(reader.snapshot())
        reader.snapshot()
        for topic, position in at.topics.items():
            place = TopicPartition(topic, partition, position.offset)
            consumer.commit(offsets=[place], asynchronous=False)
    for partition in range(PARTITIONS):
        shared.release(partition)
    assert sorted(name for name in customers if name.startswith("kept-")) == sorted(f"kept-{n}" for n in range(20))
    view = KafkaView(written)
    offsets = view.offsets()
    assert {topic.name for topic in INPUT_TOPICS} <= {place[0] for place in offsets.committed}, CONSUMER_GROUP
    assert {state.lag for state in topic_states(offsets)} == {0, None}
    wait_until_drained(view, lambda: None, stall_seconds=20)
    newest = view.newest(offsets)
    assert newest.occurred_at is not None


def test_the_heartbeat_sees_past_what_was_given_up(written: str) -> None:
    record = event("kept-0")
    place = (SERVICE_EVENTS.name, partition_of(record, PARTITIONS))
    end = KafkaView(written).offsets().end[place]
    reader = TailReader({"bootstrap.servers": written, "log_level": 0}, PARTITIONS)
    (state,) = reader.read({place: end})
    reader.close()
    assert state.evidence is not None, LOOK_BACK


def test_a_writer_of_the_same_name_shuts_the_older_one_out(broker: str) -> None:
    older = TransactionalPublisher(broker, PARTITIONS, "twins")
    older.write((), {"at": 1})
    newer = TransactionalPublisher(broker, PARTITIONS, "twins")
    with pytest.raises(TakenOverError, match="Another connector named twins"):
        older.write((), {"at": 2})
    newer.write((), {"at": 3})
    assert read_position(broker, "twins") == {"at": 3}
    newer.write((), None)
    assert read_position(broker, "twins") is None


def test_a_writer_that_is_shut_out_amid_its_records_is_told_so(broker: str) -> None:
    older = TransactionalPublisher(broker, PARTITIONS, "rivals")
    older._producer.begin_transaction()
    TransactionalPublisher(broker, PARTITIONS, "rivals")
    record = (POSITIONS.name, b"{}", b"rivals", 0, [])
    older._produce(*record)
    with pytest.raises(KafkaException, match="fenced"):
        older._producer.flush(30)
    with pytest.raises(TakenOverError, match="Another connector named rivals"):
        older._ask(lambda: older._produce(*record))


def test_a_position_is_waited_for_while_another_transaction_hides_it(broker: str) -> None:
    producer = Producer({"bootstrap.servers": broker, "transactional.id": "dawdles", "log_level": 0})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(POSITIONS.name, b"{}", b"dawdles", 0)
    assert producer.flush(30) == 0
    TransactionalPublisher(broker, PARTITIONS, "hidden").write((), {"at": 4})
    passes = []

    def ends(_seconds: float) -> None:
        if not passes:
            producer.commit_transaction(30)
        passes.append(1)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("connectors.kafka.positions.time.sleep", ends)
        assert read_position(broker, "hidden") == {"at": 4}
    assert passes
