"""Reads the input topics, one lane at a time, as batches of columns.

Delivery: exactly once into the dataflow. A lane resumes from the offsets of its last snapshot, never from the consumer
group, and refuses to start when the log behind them is another one. Positions are committed to the group only after
their epoch is through, so that lag in ordinary tools means work not done yet.
"""

import logging
import time
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from contracts.blocks import EVENT_DTYPE, LaneBatch, Visits
from contracts.crossings import join_links
from contracts.currencies import code_of
from contracts.errors import LogMismatchError, StoreUnavailableError
from contracts.metrics import CATCHING_UP, DEAD_LETTERS, EVENT_CLOCK, EVENTS, TICKS
from contracts.outages import waiting_for
from contracts.topics import CONSUMER_GROUP, INPUT_TOPICS, Topic
from streams.read.decode import Decoded, decode
from streams.read.validation import DecodePolicy
from streams.error_boundary import at_edge
from streams.journal import JOURNAL
from streams.read.lane import FIRST_BATCH, LanePolicy, LaneState, TopicPosition

log = logging.getLogger(__name__)

CONSUME_SECONDS: Final = 0.002
NOBODY_KNOWS: Final = 1 << 40
IDLE: Final = timedelta(milliseconds=10)
CONNECT_SECONDS: Final = 30.0
AGAIN_SECONDS: Final = 0.5
AWAY: Final = (
    KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE,
    KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.REQUEST_TIMED_OUT,
    KafkaError.NETWORK_EXCEPTION,
)  # fmt: skip
"""Errors of a client that reaches no broker, or one that has just started and does not lead its partitions yet."""
TOPIC_OF: Final = {topic.name: topic for topic in INPUT_TOPICS}
WAYS_ON: Final = (
    "Ways on: (1) connect to the Kafka that this data folder belongs to, or restore it from a backup; "
    "(2) use a fresh CRM_DATA_DIR with fresh stores, to start from what this log holds; "
    "(3) move the folder `recovery` away, to rebuild all profiles from the start of this log: what the log has lost "
    "stays in ClickHouse but no longer counts in profiles."
)


@dataclass(frozen=True)
class SourceConfig:
    """How to read: brokers, partitions and policies. ``stopping`` is asked before every batch.

    ``on_money`` is called with each currency in which money came, as long as the base currency is undecided.
    """

    bootstrap_servers: str
    decoding: DecodePolicy
    reading: LanePolicy
    live_backlog_events: int
    stopping: Callable[[], bool]
    on_money: Callable[[str], None] = lambda _: None


class LaneSource(FixedPartitionedSource[LaneBatch, LaneState]):
    """All lanes; each worker reads those that Bytewax gives to it."""

    def __init__(self, config: SourceConfig):
        self._config = config

    def list_parts(self) -> list[str]:
        """One part per partition number."""
        return [f"{partition:04d}" for partition in range(self._config.decoding.partitions)]

    @at_edge
    def build_part(self, step_id: str, for_part: str, resume_state: LaneState | None) -> "LaneReader":  # noqa: ARG002
        """Connect a lane and check that the log is the one that its position belongs to."""
        return LaneReader(int(for_part), self._config, resume_state)


class LaneReader(StatefulSourcePartition[LaneBatch, LaneState]):
    """Reads one lane with one consumer per topic."""

    def __init__(self, partition: int, config: SourceConfig, resume: LaneState | None):
        self._partition = partition
        self._config = config
        self._consumers = {name: self._connect() for name in TOPIC_OF}
        JOURNAL.start(partition, _told(resume))
        with waiting_for("Kafka"):
            self._state = self._start_when_there(resume)
        self._state.new_epoch()
        self._through: LaneState | None = None
        self._owes_fresh = True
        self._idle = False

    @at_edge
    def next_batch(self) -> Iterable[LaneBatch]:
        """Read what may be read now, as at most one batch."""
        if self._config.stopping():
            raise StopIteration
        behind = self._state.owes_clock  # after a jump nothing more is read until the buckets know of all of it
        read = [] if behind else [self._read(name) for name in self._state.readable(self._config.reading)]
        got = [decoded for decoded in read if decoded is not None]
        interval, before = self._config.decoding.interval, self._state.told
        clock = self._state.tell(interval)
        turned = clock is not None and (before is None or before // interval != clock // interval)
        fresh = self._fresh() and not self._state.owes_clock
        JOURNAL.beat()
        self._idle = not got and not behind
        if self._idle and not (fresh and self._owes_fresh):
            return []
        self._owes_fresh = not fresh
        return [self._batch(got, clock, fresh=fresh, turned=turned)]

    def next_awake(self) -> datetime | None:
        """Rest a moment when there was nothing to read."""
        return datetime.now(UTC) + IDLE if self._idle else None

    @at_edge
    def snapshot(self) -> LaneState:
        """The position after the last batch. Commits the one before it, whose epoch is through, to the group."""
        if self._through is not None:
            self._commit(self._through)
        self._through = deepcopy(self._state)
        self._state.new_epoch()
        return self._through

    def close(self) -> None:
        """Leave Kafka."""
        for consumer in self._consumers.values():
            consumer.close()

    def _connect(self) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self._config.bootstrap_servers,
                "group.id": CONSUMER_GROUP,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "queued.max.messages.kbytes": 16_384,
                "fetch.wait.max.ms": 500,
                "log_level": 0,
                "error_cb": _log_error,
            }
        )

    def _start_when_there(self, resume: LaneState | None) -> LaneState:
        """Start; while no broker answers, wait for one as a running reader does."""
        warned = False
        while True:
            try:
                return self._start(resume)
            except KafkaException as error:
                if error.args[0].code() not in AWAY or self._config.stopping():
                    raise StoreUnavailableError(f"Kafka does not answer: {error.args[0].str()}") from error
                if not warned:
                    log.warning("kafka: does not answer; trying until it does: %s", error.args[0].str())
                warned = True
                time.sleep(AGAIN_SECONDS)

    def _start(self, resume: LaneState | None) -> LaneState:
        """Check the log against the position and seek to it."""
        first = next(iter(self._consumers.values()))
        cluster = str(first.list_topics(timeout=CONNECT_SECONDS).cluster_id)
        if resume is None:
            batch = min(FIRST_BATCH, self._config.reading.max_batch)
            resume = LaneState(cluster, {name: TopicPosition(OFFSET_BEGINNING, batch=batch) for name in TOPIC_OF})
        if resume.cluster_id != cluster:
            raise LogMismatchError(
                f"the dataflow stopped in the log of Kafka cluster {resume.cluster_id}, but this is cluster "
                f"{cluster}. {WAYS_ON}"
            )
        for name, consumer in self._consumers.items():
            resume.topics[name] = self._seek(consumer, name, resume.topics[name])
        return resume

    def _seek(self, consumer: Consumer, name: str, position: TopicPosition) -> TopicPosition:
        where = TopicPartition(name, self._partition)
        low, high = consumer.get_watermark_offsets(where, timeout=CONNECT_SECONDS)
        offset = low if position.offset == OFFSET_BEGINNING else position.offset
        if not low <= offset <= high:
            raise LogMismatchError(
                f"the dataflow stopped at offset {offset:,} of {name}-{self._partition}, but that log holds "
                f"{low:,} to {high:,}: it was truncated or is another one. {WAYS_ON}"
            )
        consumer.assign([TopicPartition(name, self._partition, offset)])
        return TopicPosition(offset, position.clock, batch=position.batch)

    def _read(self, name: str) -> Decoded | None:
        """Read and decode one batch of a topic; None if nothing came."""
        position = self._state.topics[name]
        wait = CONSUME_SECONDS if not position.at_end else 0.0
        messages = [m for m in self._consumers[name].consume(position.batch, wait) if self._is_record(m, position)]
        if not messages:
            position.offset = max(position.offset, position.end or 0)  # a log may end in records for Kafka alone
            return None
        before = position.clock.now
        topic = TOPIC_OF[name]
        decoded = decode(messages, topic, self._partition, position.clock, self._config.decoding)
        position.offset = max(messages[-1].offset() + 1, position.end or 0)
        moved = 0 if before is None or position.clock.now is None else position.clock.now - before
        position.resize(moved, len(messages), self._config.reading)
        _count(decoded, topic)
        if self._config.decoding.rates.base is None:
            for number in np.unique(np.r_[decoded.events["currency"], decoded.visits.events["currency"]]).tolist():
                self._config.on_money(code_of(number))
        return decoded

    def _is_record(self, message: Message, position: TopicPosition) -> bool:
        """Tell records from Kafka's notices; raise for those that reading cannot go on after."""
        error = message.error()
        if error is None:
            return True
        if error.code() == KafkaError._PARTITION_EOF:
            position.end = message.offset()
        elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
            raise LogMismatchError(
                f"{message.topic()}-{self._partition} no longer holds offset {position.offset:,}. {WAYS_ON}"
            )
        elif not error.retriable():
            log.warning("kafka: %s", error.str())
        return False

    def _fresh(self) -> bool:
        """Whether scores should follow now: the log's end is near."""
        return self._state.at_end or self._backlog() < self._config.live_backlog_events

    def _backlog(self) -> int:
        """Records of the lane that are known to wait in Kafka; very many before the first answer."""
        waiting = 0
        for name, consumer in self._consumers.items():
            position = self._state.topics[name]
            if not position.at_end:
                _, high = consumer.get_watermark_offsets(TopicPartition(name, self._partition), cached=True)
                waiting += high - position.offset if high >= 0 else NOBODY_KNOWS
        return waiting

    def _batch(self, got: list[Decoded], clock: int | None, *, fresh: bool, turned: bool) -> LaneBatch:
        if clock is not None:
            EVENT_CLOCK.labels(self._partition).set(clock / 1e6)
            CATCHING_UP.labels(self._partition).set(not fresh)
            JOURNAL.clock(self._partition, clock, self._config.decoding.interval, fresh=fresh)
        empty: list[Any] = [np.empty(0, EVENT_DTYPE)]
        return LaneBatch(
            partition=self._partition,
            events=np.concatenate([decoded.events for decoded in got] or empty),
            customers=np.concatenate([decoded.customers for decoded in got] or [np.empty(0, object)]),
            buckets=np.concatenate([decoded.buckets for decoded in got] or [np.empty(0, np.int64)]),
            start=self._state.start(self._config.decoding.interval),
            clock=clock,
            fresh=fresh,
            facts=tuple(decoded.facts for decoded in got if decoded.facts is not None),
            dead=tuple(letter for decoded in got for letter in decoded.dead),
            visits=_join_visits([decoded.visits for decoded in got]),
            links=join_links([decoded.links for decoded in got]),
            turned=turned,
        )

    def _commit(self, state: LaneState) -> None:
        if state.owes_clock:
            return
        for name, position in state.topics.items():
            where = TopicPartition(name, self._partition, position.offset)
            try:
                self._consumers[name].commit(offsets=[where], asynchronous=True)
            except KafkaException as error:
                log.info("the position in %s could not be published: %s", name, error.args[0].str())


def _join_visits(parts: list[Visits]) -> Visits:
    if not parts:
        return Visits()
    columns = ("events", "visitors", "buckets")
    return Visits(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))


def _told(resume: LaneState | None) -> str:
    """Say from where reading goes on."""
    if resume is None:
        return "reads from the beginning of the log"
    places = ", ".join(f"{name} at {position.offset:,}" for name, position in resume.topics.items())
    clock = "" if resume.clock is None else f", event clock {datetime.fromtimestamp(resume.clock / 1e6, UTC):%F %T} UTC"
    return f"resumes {places}{clock}"


def _count(decoded: Decoded, topic: Topic) -> None:
    events = decoded.read - decoded.ticks - len(decoded.dead)
    JOURNAL.read(events, decoded.dead)
    EVENTS.labels(topic.name).inc(events)
    TICKS.labels(topic.name).inc(decoded.ticks)
    for letter in decoded.dead:
        DEAD_LETTERS.labels(topic.name, letter.stage).inc()


def _log_error(error: KafkaError) -> None:
    JOURNAL.trouble(f"kafka: {error.str()}")
