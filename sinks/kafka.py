"""Writes records to Kafka topics: dead letters, with the bytes as they came.

Delivery: when :meth:`KafkaWriter.flush` returns, brokers have acknowledged every record, all replicas in sync
included. A replay after a crash writes records again: readers tell them apart by the position in their
headers.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final, Generic, Self, TypeVar

from confluent_kafka import KafkaError, Message, Producer

from contracts.errors import StoreRefusedError
from contracts.outages import waiting_for
from contracts.outputs import DeadLetter
from contracts.topics import DEAD_LETTERS
from sinks.clients import kafka_producer

T = TypeVar("T")
LARGEST_RECORD: Final = 1_000_000
"""Bytes of key and body beyond which a dead letter goes without them: brokers would refuse it."""
HEADER: Final = "__connect.errors."
_POLL_SECONDS: Final = 0.5


@dataclass(frozen=True)
class Record:
    """One record to produce."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class KafkaWriter(Generic[T]):
    """Produces each output as one record of ``topic``, made by ``encode``."""

    def __init__(self, producer: Producer, topic: str, encode: Callable[[T], Record]):
        self._producer = producer
        self._topic = topic
        self._encode = encode
        self._lock = threading.Lock()  # delivery reports come in whichever thread polls
        self._failed = 0
        self._reason = ""

    def write(self, batch: Sequence[T]) -> None:
        """Queue records. Waits while the producer's queue is full.

        Raises StoreRefusedError if Kafka refused these or earlier records.
        """
        for output in batch:
            self._produce(self._encode(output))
        self._producer.poll(0)
        self._raise_failures()

    def flush(self) -> None:
        """Return when every record is acknowledged; wait while brokers are down. Raises as :meth:`write`."""
        left, before = self._producer.flush(_POLL_SECONDS), None
        while left:
            self._raise_failures()
            with waiting_for("Kafka") if left == before else nullcontext():
                left, before = self._producer.flush(_POLL_SECONDS), left
        self._raise_failures()

    def close(self) -> None:
        """Drop what was not flushed."""
        self._producer.purge()
        self._producer.flush(_POLL_SECONDS)

    def _produce(self, record: Record) -> None:
        while True:
            try:
                self._producer.produce(
                    self._topic, key=record.key, value=record.value, headers=list(record.headers),
                    on_delivery=self._on_delivery)  # fmt: skip
            except BufferError:
                self._producer.poll(_POLL_SECONDS)
                self._raise_failures()
            else:
                return

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            with self._lock:
                self._failed += 1
                self._reason = error.str()

    def _raise_failures(self) -> None:
        if self._failed:
            raise StoreRefusedError(
                f"Kafka did not take {self._failed} records for topic {self._topic}: {self._reason}",
                topic=self._topic,
            )


class DeadLetterWriter(KafkaWriter[DeadLetter]):
    """Keeps every refused record in the topic for dead letters, ready to be mended and sent again."""

    @classmethod
    def to(cls, bootstrap_servers: str) -> Self:
        """Make a writer to the dead letters of a Kafka cluster."""
        return cls(kafka_producer(bootstrap_servers), DEAD_LETTERS.name, dead_letter_record)


def dead_letter_record(letter: DeadLetter) -> Record:
    """Make the record of a dead letter: key and body as they came; headers say whence and what is wrong.

    A record too large for a topic of its own leaves key and body behind; a header says how many bytes they
    had.
    """
    headers = [
        (f"{HEADER}topic", letter.topic.encode()),
        (f"{HEADER}partition", str(letter.partition).encode()),
        (f"{HEADER}offset", str(letter.offset).encode()),
        (f"{HEADER}stage", letter.stage.encode()),
        (f"{HEADER}exception.class.name", letter.error.encode()),
        (f"{HEADER}exception.message", letter.reason.encode(errors="replace")),
    ]
    size = len(letter.key or b"") + len(letter.body or b"")
    if size > LARGEST_RECORD:
        return Record(None, None, (*headers, (f"{HEADER}dropped.bytes", str(size).encode())))
    return Record(letter.key, letter.body, tuple(headers))
