"""Read Debezium's topics, from our own Kafka or another one.

Delivery: exactly once by position. The offsets are the position, written in the same transaction as the events; where
the topics are in our own Kafka they are committed to a consumer group along with it, so that the lag shows in ordinary
tools. Offsets belong to one topic, whose id the position keeps: one that was deleted and made anew ends the connector.
Reading it from its beginning would hide that what had not been read of the old one is lost.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
    Uuid,
)
from confluent_kafka.admin import AdminClient, TopicDescription

from connectors.databases.changes import Change
from connectors.databases.pump import Step, Unreadable
from connectors.debezium.config import DebeziumConnection
from connectors.debezium.envelope import RawRecord, Tables, to_change
from connectors.kafka.positions import Position
from connectors.kafka.reasons import reason_of
from contracts.errors import LogMismatchError, StoreRefusedError, StoreUnavailableError

MOST_RECORDS: Final = 1_000
WAIT_SECONDS: Final = 0.5
TIMEOUT_SECONDS: Final = 15.0
PARTITIONS_SECONDS: Final = 30.0
"""How often new partitions are looked for, and topics that were made anew."""
ANEW: Final = "run once with --drop, then as always: all records come again, with event ids by the rows' keys."
_NOT_SHOWN: Final = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED)
_NO_ID: Final = Uuid(0, 0)
_OFFSET_GONE: Final = (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE)
Place = tuple[str, int]


class DebeziumSource:
    """Topics of Debezium. ``kafka`` is our own, ``servers`` the one that has the topics."""

    def __init__(self, kafka: str, servers: str, topics: Sequence[str], connection: DebeziumConnection):
        self.reached = False
        self._servers = servers
        self._is_own = kafka == servers
        self._topics = list(topics)
        self._group = f"crm-connector-{connection.position_name}"
        specs = {table.full_name: table for table in connection.tables}
        self._tables = Tables(specs, connection.numeric_columns())
        self._consumer: Consumer | None = None
        self._offsets: dict[Place, int] = {}
        self._topic_ids: dict[str, str] = {}
        self._left: dict[Place, int] = {}
        self._at_end: set[Place] = set()
        self._told = ""

    def steps(self, position: Position | None, *, again: bool) -> Iterator[Step]:  # noqa: ARG002 - that of all sources
        """Connect and read from a position on, for ever."""
        try:
            yield from self._steps(position)
        except (KafkaException, TimeoutError) as error:
            raise StoreUnavailableError(f"Kafka at {self._servers} does not answer ({reason_of(error)}).") from error

    def confirm(self, position: Position) -> None:
        """Nothing to do: the offsets went into the transaction."""

    def told(self) -> str:
        """Say how many records wait."""
        if self._consumer is None:
            return self._told
        waiting = 0
        for place, offset in self._offsets.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
            waiting += max(high - max(offset, 0), 0)
        self._told = f"{waiting:,} records behind"
        return self._told

    def close(self) -> None:
        """Leave Kafka."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _steps(self, position: Position | None) -> Iterator[Step]:
        consumer = self._consumer = self._connect()
        cluster = str(consumer.list_topics(timeout=TIMEOUT_SECONDS).cluster_id)
        self.reached = True
        known = self._left = _checked(position, cluster)
        admin = AdminClient({"bootstrap.servers": self._servers, "log_level": 0})
        self._topic_ids = dict(position.get("topics", {})) if position else {}
        self._offsets, self._at_end = {}, set()
        looked_at = -PARTITIONS_SECONDS
        while True:
            if time.monotonic() - looked_at > PARTITIONS_SECONDS:
                looked_at = time.monotonic()
                self._assign(consumer, admin, known)
            changes = list(self._changes(consumer))
            caught_up = self._at_end == self._offsets.keys()
            yield Step(changes, self._position(cluster), caught_up, offsets=self._to_commit(consumer))

    def _connect(self) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self._servers,
                "group.id": self._group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "log_level": 0,
                "error_cb": lambda _error: None,
            }
        )

    def _assign(self, consumer: Consumer, admin: AdminClient, known: dict[Place, int]) -> None:
        """Read partitions that are new too, from their beginning or from where they were left."""
        futures = admin.describe_topics(TopicCollection(self._topics), request_timeout=TIMEOUT_SECONDS)
        found = [place for name, future in futures.items() for place in self._partitions(name, future)]
        fresh = {place: known.get(place, OFFSET_BEGINNING) for place in found if place not in self._offsets}
        if fresh:
            consumer.incremental_assign([TopicPartition(*place, offset) for place, offset in fresh.items()])
            self._offsets |= fresh

    def _partitions(self, topic: str, description: Future[TopicDescription]) -> list[Place]:
        try:
            found = description.result(TIMEOUT_SECONDS)
        except KafkaException as error:
            if error.args[0].code() not in _NOT_SHOWN:
                raise
            raise StoreRefusedError(f"Kafka at {self._servers} has no topic {topic}, or does not show it.") from None
        self._recognise(topic, "" if found.topic_id == _NO_ID else str(found.topic_id))
        return [(topic, partition.id) for partition in found.partitions]

    def _recognise(self, topic: str, topic_id: str) -> None:
        """Make sure that a topic is still the one that the offsets belong to."""
        known = self._topic_ids.get(topic) or topic_id
        self._topic_ids[topic] = known
        if topic_id and known != topic_id:  # an old Kafka has no ids
            raise LogMismatchError(
                f"Topic {topic} was deleted and made anew: the connector's position belongs to the one with the id "
                f"{known}, this one has {topic_id}. What had not been read is lost. Let Debezium take a new snapshot; "
                + ANEW,
            )

    def _changes(self, consumer: Consumer) -> Iterator[Change | Unreadable]:
        first = consumer.poll(WAIT_SECONDS)
        if first is None:
            return
        for message in (first, *consumer.consume(MOST_RECORDS - 1, 0.005)):
            place = (message.topic(), message.partition())
            if message.error() is not None:
                self._notice(message, place)
                continue
            self._offsets[place] = message.offset() + 1
            self._at_end.discard(place)
            topic_id = self._topic_ids[place[0]]
            raw = RawRecord(*place, message.offset(), message.key(), message.value(), topic_id)
            change = to_change(raw, self._tables)
            if change is not None:
                yield change

    def _notice(self, message: Message, place: Place) -> None:
        error = message.error()
        if error.code() == KafkaError._PARTITION_EOF:
            self._offsets[place] = message.offset()
            self._at_end.add(place)
        elif error.code() in _OFFSET_GONE:
            raise LogMismatchError(
                f"Topic {place[0]} no longer holds what comes after the connector's position: it was kept for too "
                f"short a time, or made anew. Let Debezium take a new snapshot; {ANEW}",
            )
        elif not error.retriable():
            raise KafkaException(error)

    def _position(self, cluster: str) -> Position:
        offsets: dict[str, dict[str, int]] = {}
        for (topic, partition), offset in (self._left | self._offsets).items():  # also of topics not asked for now
            if offset >= 0:
                offsets.setdefault(topic, {})[str(partition)] = offset
        return {"mode": "debezium", "cluster": cluster, "topics": dict(self._topic_ids), "offsets": offsets}

    def _to_commit(self, consumer: Consumer) -> tuple[list[TopicPartition], Any] | None:
        if not self._is_own:
            return None
        known = [TopicPartition(*place, offset) for place, offset in self._offsets.items() if offset >= 0]
        return known, consumer.consumer_group_metadata()


def _checked(position: Position | None, cluster: str) -> dict[Place, int]:
    if position is None:
        return {}
    if position["cluster"] != cluster:
        raise LogMismatchError(
            f"The connector stopped in Kafka cluster {position['cluster']}, but this is cluster {cluster}. Connect to "
            f"the one it belongs to; or, to start anew, {ANEW}"
        )
    return {
        (topic, int(partition)): offset
        for topic, offsets in position["offsets"].items()
        for partition, offset in offsets.items()
    }
