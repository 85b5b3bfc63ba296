"""A Kafka consumer in memory, as far as the shared consumer uses one."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError, TopicPartition
from support.records import Record

Place = tuple[str, int]


@dataclass
class FakeMessage(Record):
    """A message of a topic-partition, or a notice about one."""

    topic_name: str | None = ""
    number: int | None = 0
    problem: KafkaError | None = None

    def topic(self) -> str | None:
        return self.topic_name

    def partition(self) -> int | None:
        return self.number

    def error(self) -> KafkaError | None:
        return self.problem

    def __len__(self) -> int:
        return len(self.body or b"")


@dataclass
class FakeConsumer:
    """Logs in memory. Like librdkafka it tells the end of a log once, each time that the end is reached."""

    logs: dict[Place, list[Record]]
    cluster: str = "cluster"
    first: dict[Place, int] = field(default_factory=dict)
    """The offset of the first record, where it is not 0."""
    hidden: dict[Place, int] = field(default_factory=dict)
    """How many records for Kafka alone end a log."""
    at: dict[Place, int] = field(default_factory=dict)
    ended: set[Place] = field(default_factory=set)
    paused: set[Place] = field(default_factory=set)
    notices: list[FakeMessage] = field(default_factory=list)
    committed: list[list[tuple[str, int, int]]] = field(default_factory=list)
    polls: list[float] = field(default_factory=list)
    closed: bool = False
    away: set[Place] = field(default_factory=set)
    """Partitions without a leader: nothing comes from them."""
    at_once: int = 10_000
    """Messages of one partition in one poll."""

    def list_topics(self, timeout: float) -> Any:
        return SimpleNamespace(cluster_id=self.cluster)

    def get_watermark_offsets(self, where: TopicPartition, timeout: float = 0, cached: bool = False) -> tuple[int, int]:
        place = where.topic, where.partition
        return self.first.get(place, 0), self._end(place)

    def incremental_assign(self, places: list[TopicPartition]) -> None:
        self.at |= {(each.topic, each.partition): each.offset for each in places}

    def pause(self, places: list[TopicPartition]) -> None:
        self.paused |= {(each.topic, each.partition) for each in places}

    def resume(self, places: list[TopicPartition]) -> None:
        self.paused -= {(each.topic, each.partition) for each in places}

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> None:
        self.committed.append([(each.topic, each.partition, each.offset) for each in offsets])

    def close(self) -> None:
        self.closed = True

    def consume(self, most: int, timeout: float) -> list[FakeMessage]:
        self.polls.append(timeout)
        found, self.notices = self.notices[:most], self.notices[most:]
        for place in sorted(self.at):
            if place not in self.paused | self.away:
                found += self._fetch(place, min(self.at_once, most - len(found)))
        return found

    def _fetch(self, place: Place, most: int) -> list[FakeMessage]:
        log, start = self.logs.get(place, []), self.at[place]
        skipped = self.first.get(place, 0)
        records = log[start - skipped : start - skipped + most]
        found = [
            FakeMessage(each.body, start + at, each.record_key, each.entered_ms, each.record_headers, *place)
            for at, each in enumerate(records)
        ]
        self.at[place] = start + len(found)
        if records:
            self.ended.discard(place)
        if self.at[place] - skipped == len(log) and place not in self.ended and len(found) < most:
            self.ended.add(place)
            end = KafkaError(KafkaError._PARTITION_EOF)
            found.append(FakeMessage(None, self._end(place), None, 0, (), *place, end))
        return found

    def _end(self, place: Place) -> int:
        return self.first.get(place, 0) + len(self.logs.get(place, [])) + self.hidden.get(place, 0)
