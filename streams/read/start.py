"""Starts a lane: checks that the log is the one that its position belongs to, and begins to read there.

A lane resumes from its last snapshot, never from the consumer group. It refuses to start in another log, or in one that
no longer holds its position.
"""

import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException

from contracts.errors import LogMismatchError, StoreUnavailableError
from contracts.outages import waiting_for
from contracts.topics import INPUT_TOPICS
from streams.read.config import SourceConfig
from streams.read.consumer import SharedConsumer
from streams.read.lane import FIRST_BATCH, LaneState, TopicPosition
from streams.read.pausing import TopicPauses
from streams.read.warehouse import PastTopic

log = logging.getLogger(__name__)

AGAIN_SECONDS: Final = 0.5
AWAY: Final = (
    KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE,
    KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NETWORK_EXCEPTION,
)  # fmt: skip
"""Errors of a client that reaches no broker, or a broker that has just started and does not lead its partitions yet."""
TOPIC_OF: Final = {topic.name: topic for topic in INPUT_TOPICS}
WAYS_ON: Final = (
    "Ways on: (1) connect to the Kafka that this data folder belongs to, or restore it from a backup; "
    "(2) `crmstream rebuild --from-warehouse`, where this log is the same one with its oldest records deleted: what it "
    "has lost is read from ClickHouse's facts; "
    "(3) `crmstream rebuild`, to rebuild all profiles from the start of this log: what the log has lost stays in "
    "ClickHouse but no longer counts in profiles; "
    "(4) use a fresh CRM_DATA_DIR with fresh stores, to start from what this log holds."
)


@dataclass
class Start:
    """The start of one lane. ``past`` and ``earlier`` are set by :meth:`begin`."""

    partition: int
    config: SourceConfig
    consumer: SharedConsumer
    pauses: TopicPauses
    past: dict[str, PastTopic] = field(default_factory=dict)
    """The topics that are read from the warehouse first, up to the start of their log."""
    earlier: dict[str, int] = field(default_factory=dict)
    """The ends of the logs now: an earlier run may have published what comes before."""

    def begin(self, resume: LaneState | None) -> LaneState:
        """Start to read; wait for a broker while none answers. ``resume`` is the saved position."""
        with waiting_for("Kafka"):
            warned = False
            while True:
                try:
                    return self._start(resume)
                except KafkaException as error:
                    if error.args[0].code() not in AWAY or self.config.stopping():
                        raise StoreUnavailableError(f"Kafka does not answer: {error.args[0].str()}") from error
                    if not warned:
                        log.warning("kafka: does not answer; trying again: %s", error.args[0].str())
                    warned = True
                    time.sleep(AGAIN_SECONDS)

    def _start(self, resume: LaneState | None) -> LaneState:
        """Check the log against the position and read from there on."""
        cluster = self.pauses.cluster = self.consumer.cluster_id()
        if resume is None:
            batch = min(FIRST_BATCH, self.config.reading.max_batch)
            resume = LaneState(cluster, {name: TopicPosition(OFFSET_BEGINNING, batch=batch) for name in TOPIC_OF})
        if resume.cluster_id != cluster:
            raise LogMismatchError(
                f"the dataflow stopped in the log of Kafka cluster {resume.cluster_id}, but this is cluster "
                f"{cluster}. {WAYS_ON}"
            )
        for name in TOPIC_OF:
            resume.topics[name] = self._checked(name, resume.topics[name])
        offsets = {name: resume.topics[name].offset for name in TOPIC_OF if name not in self.past}
        self.consumer.assign(self.partition, offsets)
        return resume

    def _checked(self, name: str, position: TopicPosition) -> TopicPosition:
        """Return the position to start from, with the log's end noted as the part that earlier runs may have read."""
        low, high = self.consumer.limits(name, self.partition)
        past = self.config.past
        end = None if past is None else past.end(name, self.partition)
        first = low if end is None else 0
        offset = first if position.offset == OFFSET_BEGINNING else position.offset
        if past is not None and end is not None and offset < low and offset <= end:
            check_past((name, self.partition), end, low)
            self.past[name] = PastTopic(past, TOPIC_OF[name], self.partition, offset, low)
            log.info("%s-%d: reads offsets %d to %d from ClickHouse", name, self.partition, offset, low)
        else:
            check_offset((name, self.partition), offset, low, high)
        if position.offset != OFFSET_BEGINNING:  # a first run has published nothing
            self.earlier[name] = high
        position = TopicPosition(offset, position.clock, batch=position.batch, breaker=position.breaker)
        self.pauses.start(name, position)
        return position


def check_past(place: tuple[str, int], end: int, low: int) -> None:
    """Raise if the log of a topic-partition begins later than the warehouse ends."""
    if end < low:
        name, partition = place
        raise LogMismatchError(
            f"{name}-{partition} is rebuilt from ClickHouse up to offset {end:,}, but Kafka now begins at {low:,}: it "
            "has deleted records that the dataflow had not stored. `crmstream rebuild --from-warehouse` shows what is "
            "lost, and goes on without it if you accept that."
        )


def check_offset(place: tuple[str, int], offset: int, low: int, high: int) -> None:
    """Raise unless the log of a topic-partition holds an offset."""
    if not low <= offset <= high:
        name, partition = place
        raise LogMismatchError(
            f"the dataflow stopped at offset {offset:,} of {name}-{partition}, but that log holds "
            f"{low:,} to {high:,}: it was truncated or is another one. {WAYS_ON}"
        )


def described(resume: LaneState | None) -> str:
    """Return the start position, for the log."""
    if resume is None:
        return "reads from the beginning of the log"
    places = ", ".join(f"{name} at {position.offset:,}" for name, position in resume.topics.items())
    clock = "" if resume.clock is None else f", event clock {datetime.fromtimestamp(resume.clock / 1e6, UTC):%F %T} UTC"
    return f"resumes {places}{clock}"
