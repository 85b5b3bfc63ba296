"""Dead letters in a real topic: the bytes as they came, and where they came from."""

import uuid

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from connectors.kafka.topics import ensure_topics
from contracts.errors import StoreRefusedError
from contracts.outputs import DeadLetter
from contracts.topics import DEAD_LETTERS
from crmstream.stack.endpoints import Endpoints
from sinks.clients import kafka_producer
from sinks.kafka import DeadLetterWriter, KafkaWriter, Record

pytestmark = pytest.mark.stack


def test_dead_letters_arrive_as_they_were(stack: Endpoints) -> None:
    ensure_topics(stack.kafka, 4)
    consumer = Consumer(
        {"bootstrap.servers": stack.kafka, "group.id": uuid.uuid4().hex, "enable.auto.commit": False}
    )
    source = f"t-{uuid.uuid4().hex}"
    letters = [
        DeadLetter(source, 1, offset, 0, key, body, "decode", "occurred_at", "lies before 1970")
        for offset, (key, body) in enumerate(
            [(b"\xff", b"\x00\xfe{"), (None, b""), (b"k", None), (b"k", b"x" * 2_000_000)]
        )
    ]
    writer = DeadLetterWriter.to(stack.kafka)
    writer.write(letters)
    writer.flush()
    writer.close()

    consumer.assign([TopicPartition(DEAD_LETTERS.name, p, OFFSET_BEGINNING) for p in range(4)])
    found = {}
    while len(found) < len(letters):
        message = consumer.poll(20)
        assert message is not None, "a dead letter is missing"
        headers = dict(message.headers() or [])
        if headers["__connect.errors.topic"] == source.encode():
            found[int(headers["__connect.errors.offset"])] = (message.key(), message.value(), headers)
    consumer.close()
    assert [found[i][:2] for i in range(4)] == [
        (b"\xff", b"\x00\xfe{"),
        (None, b""),
        (b"k", None),
        (None, None),
    ]
    assert found[0][2]["__connect.errors.exception.message"] == b"occurred_at: lies before 1970"
    assert found[3][2]["__connect.errors.dropped.bytes"] == b"2000001"


def test_a_refused_record_is_raised(stack: Endpoints) -> None:
    producer = kafka_producer(stack.kafka)
    writer: KafkaWriter[bytes] = KafkaWriter(producer, "no such topic!", lambda body: Record(None, body))
    with pytest.raises(StoreRefusedError, match="Kafka refused 1 records for topic no such topic!: "):
        write_and_flush(writer, b"x")
    writer.close()


def write_and_flush(writer: KafkaWriter[bytes], body: bytes) -> None:
    writer.write([body])
    writer.flush()
