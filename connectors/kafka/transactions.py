"""Write events and a connector's position into Kafka in one transaction.

Delivery: exactly once by position. Readers of committed records see all of a batch and its position, or nothing. A
writer that starts under a name ends what an earlier one of this name left open, and shuts it out for good.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import msgspec
from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from connectors.kafka.positions import Position
from connectors.kafka.publisher import partition_of
from connectors.protocol import Record
from contracts.errors import CrmError, StoreUnavailableError
from contracts.topics import POSITIONS

TIMEOUT_SECONDS: Final = 30.0
TRANSACTION_SECONDS: Final = 60
_FENCED: Final = (
    KafkaError._FENCED, KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.PRODUCER_FENCED, KafkaError.FENCED_INSTANCE_ID,
)  # fmt: skip


class TakenOverError(CrmError):
    """Another connector has started under the same name."""


class TransactionalPublisher:
    """The producer of one connector. It connects when it is made. Use it from one thread.

    After any error but :class:`TakenOverError` the outcome of the last batch is unknown: make a new one and read the
    position again. ``partitions`` is the count of every input topic.
    """

    def __init__(self, bootstrap_servers: str, partitions: int, name: str):
        self._servers = bootstrap_servers
        self._partitions = partitions
        self._name = name
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap_servers,
                "transactional.id": f"crm-connector-{name}",
                "transaction.timeout.ms": TRANSACTION_SECONDS * 1_000,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 5,
                "compression.type": "lz4",
                "partitioner": "murmur2_random",
                "delivery.report.only.error": True,
                "log_level": 0,
                "error_cb": lambda _error: None,
            }
        )
        self._ask(lambda: self._producer.init_transactions(TIMEOUT_SECONDS))

    def write(
        self,
        records: Sequence[Record],
        position: Position | None,
        offsets: tuple[list[TopicPartition], Any] | None = None,
    ) -> None:
        """Write records and the position after them; when this returns, both are durable. None forgets the position.

        ``offsets`` are offsets of input topics, and the metadata of the group for which they are committed along.
        Raises :class:`TakenOverError` and :class:`StoreUnavailableError`.
        """
        self._ask(lambda: self._write(records, position, offsets))

    def _write(
        self, records: Sequence[Record], position: Position | None, offsets: tuple[list[TopicPartition], Any] | None
    ) -> None:
        self._producer.begin_transaction()
        for record in records:
            place = partition_of(record, self._partitions)
            self._produce(record.topic, record.value, record.key, place, list(record.headers))
        value = None if position is None else msgspec.json.encode(position)
        self._produce(POSITIONS.name, value, self._name.encode(), 0, [])
        if offsets is not None:
            self._producer.send_offsets_to_transaction(*offsets, TIMEOUT_SECONDS)
        self._producer.commit_transaction(TIMEOUT_SECONDS)

    def _produce(self, *arguments: Any) -> None:
        topic, value, key, partition, headers = arguments
        while True:
            try:
                self._producer.produce(topic, value, key, partition, headers=headers)
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def _ask(self, request: Callable[[], None]) -> None:
        try:
            request()
        except KafkaException as error:
            raise self._explained(self._reason(error.args[0])) from error

    def _reason(self, error: KafkaError) -> KafkaError:
        """What has happened to a producer that takes no more records: it tells only who asks for its transaction."""
        if error.code() == KafkaError._FATAL:
            try:
                self._producer.abort_transaction(TIMEOUT_SECONDS)
            except KafkaException as reason:
                return cast(KafkaError, reason.args[0])
        return error

    def _explained(self, error: KafkaError) -> CrmError:
        if error.code() in _FENCED:
            return TakenOverError(
                f"Another connector named {self._name} has been started, and this one has ended. Give each "
                "connection a `name` of its own, or run only one of them.",
            )
        return StoreUnavailableError(f"Kafka at {self._servers} did not take a transaction ({error.str()}).")
