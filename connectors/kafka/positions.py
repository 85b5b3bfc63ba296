"""Where connectors stand in their sources, as Kafka keeps it: the newest record of each connector's key.

Delivery: a position is written in the same Kafka transaction as the events before it
(:mod:`connectors.kafka.transactions`), so what is read here is exactly what the log holds. Reads only.
"""

import time
from typing import Any, Final

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from connectors.kafka.reasons import reason_of
from contracts.errors import StoreUnavailableError
from contracts.topics import POSITIONS

TIMEOUT_SECONDS: Final = 15.0
"""How long to wait for a next record, or for an answer."""
OPEN_TRANSACTION_SECONDS: Final = 90.0
"""How long to wait for transactions of others that are open: longer than any may last."""
_PLACE: Final = (POSITIONS.name, 0)
_PAUSE_SECONDS: Final = 0.1

Position = dict[str, Any]
"""A position as JSON values; only the source that made it knows what it means."""


def read_position(bootstrap_servers: str, name: str) -> Position | None:
    """Read the newest position of a connector; None if it has none.

    Raises :class:`StoreUnavailableError` when Kafka is away, or somebody's transaction stays open for too long.
    """
    try:
        return _read(bootstrap_servers, name.encode())
    except (KafkaException, TimeoutError) as error:
        raise StoreUnavailableError(f"Kafka at {bootstrap_servers} does not answer ({reason_of(error)}).") from error


def _read(bootstrap_servers: str, key: bytes) -> Position | None:
    client = {"bootstrap.servers": bootstrap_servers, "log_level": 0}
    end = _end(AdminClient(client))
    consumer = Consumer(
        {
            **client,
            "group.id": "crm-connector-positions",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,  # the end of the log is told after this time
            "isolation.level": "read_committed",
        }
    )
    try:
        return _newest(consumer, key, end)
    finally:
        consumer.close()


def _end(admin: AdminClient) -> int:
    """Where the log ends, open transactions included: a reader of committed records is told of an earlier end."""
    place = TopicPartition(*_PLACE)
    future = admin.list_offsets({place: OffsetSpec.latest()}, request_timeout=TIMEOUT_SECONDS)[place]
    return int(future.result(TIMEOUT_SECONDS).offset)


def _newest(consumer: Consumer, key: bytes, end: int) -> Position | None:
    """Read the partition to its end, going on from where a transaction hid the rest until it has ended."""
    found, reached = _read_on(consumer, key, 0, None)
    deadline = time.monotonic() + OPEN_TRANSACTION_SECONDS
    while reached < end:
        if time.monotonic() > deadline:
            raise StoreUnavailableError(f"A transaction on topic {POSITIONS.name} does not end.")
        time.sleep(_PAUSE_SECONDS)
        before = reached
        found, reached = _read_on(consumer, key, reached, found)
        if reached > before:
            deadline = time.monotonic() + OPEN_TRANSACTION_SECONDS
    return None if found is None else msgspec.json.decode(found)


def _read_on(consumer: Consumer, key: bytes, start: int, newest: bytes | None) -> tuple[bytes | None, int]:
    """Read what is committed from an offset on: the newest value of the key, and the offset at which reading ended.

    However much there is, only a pause of :data:`TIMEOUT_SECONDS` without a record is too long.
    """
    consumer.assign([TopicPartition(*_PLACE, start)])
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        for message in consumer.consume(1_000, 0.01):
            error = message.error()
            if error is None:
                newest = message.value() if message.key() == key else newest
                deadline = time.monotonic() + TIMEOUT_SECONDS
            elif error.code() == KafkaError._PARTITION_EOF:
                return newest, int(message.offset())
            elif not error.retriable():
                raise KafkaException(error)
    raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no records in time"))
