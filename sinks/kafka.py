"""Writes records to Kafka topics: dead letters, with their original bytes.

Delivery: when :meth:`KafkaWriter.flush` returns, all in-sync replicas have acknowledged every record. A replay after a
crash writes records again; the position in their headers identifies duplicates.
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
"""Maximum bytes of key and body. Larger dead letters are written without them, because brokers refuse them."""
HEADER: Final = "__connect.errors."
_POLL_SECONDS: Final = 0.5


@dataclass(frozen=True)
class Record:
    """One record to produce."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


class KafkaWriter(Generic[T]):
    """Produces one record of ``topic`` per output, made by ``encode``."""

    def __init__(self, producer: Producer, topic: str, encode: Callable[[T], Record]):
        self._producer = producer
        self._topic = topic
        self._encode = encode
        self._lock = threading.Lock()  # delivery reports arrive in the thread that polls
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
        """Drop records that were not flushed."""
        self._producer.purge()
        self._producer.flush(_POLL_SECONDS)

    def _produce(self, record: Record) -> None:
        while True:
            try:
                self._producer.produce(
                    self._topic, key=record.key, value=record.value, headers=list(record.headers),
                    on_delivery=self._on_delivery)  # fmt: skip
            except BufferError:
                with waiting_for("Kafka"):
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
                f"Kafka refused {self._failed} records for topic {self._topic}: {self._reason}",
                topic=self._topic,
            )


class DeadLetterWriter(KafkaWriter[DeadLetter]):
    """Writes every invalid record to the topic for dead letters, to be fixed and sent again."""

    @classmethod
    def to(cls, bootstrap_servers: str) -> Self:
        """Make a writer to the dead-letter topic of a Kafka cluster."""
        return cls(kafka_producer(bootstrap_servers), DEAD_LETTERS.name, dead_letter_record)


def dead_letter_record(letter: DeadLetter) -> Record:
    """Make the record of a dead letter: the original key and body, position and reason in headers.

    A record that is too large is written without key and body; a header has their size in bytes.
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
