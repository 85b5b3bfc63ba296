"""How far the dataflow is behind in Kafka, and what came in last. Reads only; joins no group."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from connectors.kafka.reasons import reason_of
from contracts.errors import StoreUnavailableError
from contracts.events import TICK_KEY, Kind
from contracts.topics import ALL_TOPICS, CONSUMER_GROUP, INPUT_TOPICS
from contracts.wire import RejectedError, judge

TIMEOUT_SECONDS: Final = 5.0
COORDINATOR_PAUSE_SECONDS: Final = 0.1
_NO_COORDINATOR_YET: Final = (
    KafkaError.NOT_COORDINATOR, KafkaError.COORDINATOR_NOT_AVAILABLE, KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
)  # fmt: skip
_LOOK_BACKS: Final = (100, 2_000, 50_000)
"""Records per partition that are read to find the newest event among ticks; more only if there is none."""
_KIND_OF: Final[dict[str, Kind]] = {topic.name: topic.kind for topic in INPUT_TOPICS if topic.kind}
Place = tuple[str, int]
"""A topic and a partition."""


@dataclass(frozen=True)
class Offsets:
    """Where the log begins and ends and how far the group is, by topic and partition."""

    low: dict[Place, int]
    end: dict[Place, int]
    committed: dict[Place, int]

    def read(self, place: Place) -> int:
        """The offset up to which the group has read; never before the beginning of the log."""
        return max(self.committed.get(place, 0), self.low[place])


class Waiting(NamedTuple):
    """What waits in a topic for the dataflow."""

    events: int
    ticks: int


@dataclass(frozen=True)
class Newest:
    """When the newest event entered Kafka, and when it happened (None if no late record is an event)."""

    entered_at: datetime | None
    occurred_at: datetime | None


class KafkaView:
    """What can be seen from outside of the topics and of the dataflow's group."""

    def __init__(self, bootstrap_servers: str):
        self._config = {"bootstrap.servers": bootstrap_servers, "log_level": 0}
        self._admin = AdminClient(self._config)

    def brokers(self) -> int:
        """Count the brokers. Raises :class:`StoreUnavailableError` when none answers."""
        with _readable_errors():
            return len(self._admin.list_topics(timeout=TIMEOUT_SECONDS).brokers)

    def cluster_id(self) -> str:
        """Return the id of the Kafka cluster, to which offsets belong. Raises as :meth:`brokers` does."""
        with _readable_errors():
            return str(self._admin.list_topics(timeout=TIMEOUT_SECONDS).cluster_id)

    def offsets(self) -> Offsets:
        """Read the offsets of all topics of ours that exist. Raises as :meth:`brokers` does."""
        with _readable_errors():
            return self._offsets()

    def _offsets(self) -> Offsets:
        topics = self._admin.list_topics(timeout=TIMEOUT_SECONDS).topics
        places = [
            TopicPartition(topic.name, partition)
            for topic in ALL_TOPICS
            if topic.name in topics
            for partition in topics[topic.name].partitions
        ]
        inputs = [place for place in places if place.topic in _KIND_OF]
        return Offsets(
            low=self._list(places, OffsetSpec.earliest()),
            end=self._list(places, OffsetSpec.latest()),
            committed=self._committed(inputs),
        )

    def newest(self, offsets: Offsets) -> Newest:
        """Find the event that entered Kafka last, by the last records of every input partition."""
        for look_back in _LOOK_BACKS:
            events = self._last_events(offsets, look_back)
            if events:
                return _newest(events)
        return Newest(None, None)

    def waiting(self, offsets: Offsets, most: int) -> dict[str, Waiting]:
        """Count the events and ticks that wait, by input topic; nothing if more than ``most`` records wait."""
        starts = {
            place: offsets.read(place)
            for place, end in offsets.end.items()
            if place[0] in _KIND_OF and end > offsets.read(place)
        }
        if sum(offsets.end[place] - start for place, start in starts.items()) > most:
            return {}
        counts = Counter((message.topic(), message.key() == TICK_KEY) for message in self._read(starts, offsets.end))
        return {name: Waiting(counts[name, False], counts[name, True]) for name in _KIND_OF}

    def _last_events(self, offsets: Offsets, look_back: int) -> list[Message]:
        """Read the last records of every input partition, without the ticks."""
        starts = {
            place: max(offsets.low[place], end - look_back)
            for place, end in offsets.end.items()
            if place[0] in _KIND_OF and end > offsets.low[place]
        }
        return [message for message in self._read(starts, offsets.end) if message.key() != TICK_KEY]

    def _list(self, places: Sequence[TopicPartition], spec: OffsetSpec) -> dict[Place, int]:
        futures = self._admin.list_offsets(dict.fromkeys(places, spec), request_timeout=TIMEOUT_SECONDS)
        found = {place: future.result(2 * TIMEOUT_SECONDS) for place, future in futures.items()}
        return {(place.topic, place.partition): at.offset for place, at in found.items()}

    def _committed(self, places: list[TopicPartition]) -> dict[Place, int]:
        if not places:
            return {}
        found = self._ask_coordinator(places)
        return {(place.topic, place.partition): place.offset for place in found if place.offset >= 0}

    def _ask_coordinator(self, places: list[TopicPartition]) -> list[TopicPartition]:
        """Ask for the group's positions. Just after a broker's start, nobody is the group's coordinator yet."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while True:
            try:
                committed: list[TopicPartition] = self._group.committed(places, timeout=TIMEOUT_SECONDS)
            except KafkaException as error:
                if error.args[0].code() not in _NO_COORDINATOR_YET or time.monotonic() >= deadline:
                    raise
                time.sleep(COORDINATOR_PAUSE_SECONDS)
            else:
                return committed

    @cached_property
    def _group(self) -> Consumer:
        """A consumer that only asks for the group's positions; without a subscription it is no member.

        Not the admin client: it crashes when the group's coordinator is still loading (librdkafka 2.16 hands the
        refresh to a consumer group that an admin client does not have).
        """
        return Consumer({**self._config, "group.id": CONSUMER_GROUP, "enable.auto.commit": False})

    def _read(self, starts: dict[Place, int], ends: dict[Place, int]) -> Iterator[Message]:
        """Read each partition from its start to its end, as of now."""
        if not starts:
            return
        config = {
            **self._config,
            "group.id": "crm-status",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
        consumer = Consumer(config)
        try:
            consumer.assign([TopicPartition(*place, offset) for place, offset in starts.items()])
            yield from _consume(consumer, {place: ends[place] for place in starts})
        finally:
            consumer.close()


@contextmanager
def _readable_errors() -> Iterator[None]:
    try:
        yield
    except (KafkaException, TimeoutError) as error:
        raise StoreUnavailableError(f"does not answer: {reason_of(error)}") from None


def _newest(events: list[Message]) -> Newest:
    events.sort(key=lambda message: message.timestamp()[1], reverse=True)
    entered = datetime.fromtimestamp(events[0].timestamp()[1] / 1_000, UTC)
    times = (time for message in events if (time := _occurred_at(message)) is not None)
    return Newest(entered, next(times, None))


def _consume(consumer: Consumer, waiting: dict[Place, int]) -> Iterator[Message]:
    """Read each partition up to its end in ``waiting``, or what comes within the time-out.

    Records are not counted: transactions leave offsets behind at which there is nothing to read.
    """
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while waiting and time.monotonic() < deadline:
        for message in consumer.consume(1_000, 0.05):
            place, error = (message.topic(), message.partition()), message.error()
            if error is None:
                yield message
            ended = error is not None and error.code() == KafkaError._PARTITION_EOF
            if ended or message.offset() >= waiting.get(place, 0) - 1:
                waiting.pop(place, None)


def _occurred_at(message: Message) -> datetime | None:
    try:
        return judge(_KIND_OF[message.topic()], message.value()).occurred_at
    except RejectedError:
        return None
