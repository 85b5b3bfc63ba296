"""Reads the input topics, one lane at a time, as batches of columns.

Delivery: exactly once into the dataflow. A lane resumes from the offsets of its last snapshot, never from the consumer
group. It refuses to start if the log is not the one that the offsets belong to. Offsets are committed to the group only
after their epoch has completed, so that lag in Kafka tools shows unfinished work.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import numpy as np
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message

from contracts.blocks import LaneBatch, Progress
from contracts.currencies import code_of
from contracts.errors import LogMismatchError, StoreUnavailableError
from contracts.metrics import CATCHING_UP, DEAD_LETTERS, EVENT_CLOCK, EVENTS, LANE_WAITS, TICKS, labelled
from contracts.outages import waiting_for
from contracts.topics import INPUT_TOPICS, Topic
from streams.error_boundary import error_boundary
from streams.journal import JOURNAL
from streams.read.batch import ReportedCustomers, lane_batch
from streams.read.breaker import BreakerPolicy
from streams.read.consumer import SharedConsumer, connect
from streams.read.decode import Decoded, decode
from streams.read.lane import FIRST_BATCH, LanePolicy, LaneState, TopicPosition
from streams.read.pausing import TopicPauses, none_accepted
from streams.read.skew import LaneClocks
from streams.read.validation import DecodePolicy
from streams.read.warehouse import PastLog, PastTopic

log = logging.getLogger(__name__)

UNKNOWN_BACKLOG: Final = 1 << 40
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


@dataclass(frozen=True)
class SourceConfig:
    """How to read: brokers, partitions and policies. ``stopping`` is asked before every batch.

    ``on_money`` is called with each currency read while the base currency is undecided. ``on_epoch_end`` is called when
    all lanes of the process have read all of their epoch, before steps take its snapshot. ``may_wait`` says whether a
    source may wait for messages: no step has work of its own, and nothing can come from another process meanwhile.
    ``clocks`` hold lanes that are ahead. While ``is_held()``, steps of this process work off what they have, and
    nothing more is given to them.
    ``breaker`` (None: there is none) pauses topics whose records are invalid; ``accepted`` returns the offset before
    which somebody has accepted the records of a topic's partition.
    ``past`` has the records that Kafka no longer has, while profiles are rebuilt from the warehouse.
    """

    bootstrap_servers: str
    decoding: DecodePolicy
    reading: LanePolicy
    live_backlog_events: int
    stopping: Callable[[], bool]
    on_money: Callable[[str], None] = lambda _: None
    on_epoch_end: Callable[[], None] = lambda: None
    may_wait: Callable[[], bool] = lambda: False
    is_held: Callable[[], bool] = lambda: False
    clocks: LaneClocks = field(default_factory=LaneClocks)
    breaker: BreakerPolicy | None = None
    accepted: Callable[[str, int], int] = none_accepted
    past: PastLog | None = None


class LaneSource(FixedPartitionedSource[LaneBatch, Mapping[str, Any]]):
    """All lanes; each worker reads those that Bytewax gives to it, with one consumer."""

    def __init__(self, config: SourceConfig):
        self._config = config
        self._consumer: SharedConsumer | None = None

    def list_parts(self) -> list[str]:
        """One part per partition number."""
        return [f"{partition:04d}" for partition in range(self._config.decoding.partitions)]

    @error_boundary
    def build_part(
        self, step_id: str, for_part: str, resume_state: Mapping[str, Any] | None  # noqa: ARG002
    ) -> "LaneReader":  # fmt: skip
        """Connect a lane and check that the log is the one that its position belongs to."""
        if self._consumer is None or self._consumer.is_closed:
            self._consumer = SharedConsumer(connect(self._config.bootstrap_servers), may_wait=self._config.may_wait)
        return LaneReader(int(for_part), self._config, self._consumer, resume_state)


class LaneReader(StatefulSourcePartition[LaneBatch, Mapping[str, Any]]):
    """Reads one partition of every input topic."""

    def __init__(
        self, partition: int, config: SourceConfig, consumer: SharedConsumer, saved: Mapping[str, Any] | None
    ):
        resume = None if saved is None else LaneState.of_plain(saved)
        self._partition = partition
        self._config = config
        self._consumer = consumer
        self._interval = config.decoding.interval
        self._known = ReportedCustomers()
        self._earlier: dict[str, int] = {}
        """The ends of the logs at the start of this process, until they are reached."""
        self._pauses = TopicPauses(partition, config.breaker, config.accepted)
        self._past: dict[str, PastTopic] = {}
        """The topics that are read from the warehouse, until they reach the start of their log."""
        JOURNAL.start(partition, _place(resume))
        with waiting_for("Kafka"):
            self._state = self._start_when_there(resume)
        self._state.new_epoch()
        self._join_clocks()
        self._through: LaneState | None = None
        self._emitted: Progress | None = None
        self._idle = False

    @error_boundary
    def next_batch(self) -> Iterable[LaneBatch]:
        """Read the topics that may be read now, as at most one batch."""
        if self._config.stopping():
            raise StopIteration
        JOURNAL.beat()
        if self._config.is_held():
            self._consumer.is_silent(self._partition)  # a consumer is polled all the time
            self._idle = False
            return []
        if self._idle and not self._past and self._consumer.is_silent(self._partition):
            return []
        behind = self._state.is_behind(self._interval)  # after a jump nothing is read until devices have its last slot
        got = [] if behind else self._read_topics()
        progress = self._progress()
        self._idle = not got and not behind
        turned = progress != self._emitted
        if not self._idle:
            self._consumer.stir()
        is_news = progress.fresh or (self._emitted is None and progress.slot is not None)
        if self._idle and not (turned and is_news):
            return []
        self._observe(progress)
        if not turned and not any(decoded.yields for decoded in got):
            return []
        self._emitted = progress
        return [lane_batch(got, progress, self._known, turned=turned)]

    def next_awake(self) -> datetime | None:
        """Pause if there was nothing to read."""
        return self._consumer.rest() if self._idle else None

    @error_boundary
    def snapshot(self) -> Mapping[str, Any]:
        """Return the position after the last batch. Commits the previous position, whose epoch has completed."""
        if self._through is not None and not self._through.is_behind(self._interval):
            offsets = {name: position.offset for name, position in self._through.topics.items()}
            self._consumer.commit(self._partition, offsets)
        self._consumer.stir()
        plain = self._state.to_plain()
        self._through = self._state.copy()
        if self._consumer.is_last_to_end(self._partition):
            self._config.on_epoch_end()
        self._state.new_epoch()
        return plain

    def close(self) -> None:
        """Release the lane; the last lane closes the consumer."""
        self._config.clocks.leave(self._partition)
        self._consumer.release(self._partition)

    def _join_clocks(self) -> None:
        """Take part in the back-pressure between lanes, and show in metrics which lane this one waits for."""
        state, clocks = self._state, self._config.clocks
        state.ahead = {} if state.ahead is None else state.ahead
        clocks.join(self._partition, state.ahead)
        clocks.reach(self._partition, state.slot)
        LANE_WAITS.labels(self._partition).set_function(partial(_waits_for, state, clocks))

    def _start_when_there(self, resume: LaneState | None) -> LaneState:
        """Start the lane; wait for a broker while none answers."""
        warned = False
        while True:
            try:
                return self._start(resume)
            except KafkaException as error:
                if error.args[0].code() not in AWAY or self._config.stopping():
                    raise StoreUnavailableError(f"Kafka does not answer: {error.args[0].str()}") from error
                if not warned:
                    log.warning("kafka: does not answer; trying again: %s", error.args[0].str())
                warned = True
                time.sleep(AGAIN_SECONDS)

    def _start(self, resume: LaneState | None) -> LaneState:
        """Check the log against the position and read from there on."""
        cluster = self._consumer.cluster_id()
        if resume is None:
            batch = min(FIRST_BATCH, self._config.reading.max_batch)
            resume = LaneState(cluster, {name: TopicPosition(OFFSET_BEGINNING, batch=batch) for name in TOPIC_OF})
        if resume.cluster_id != cluster:
            raise LogMismatchError(
                f"the dataflow stopped in the log of Kafka cluster {resume.cluster_id}, but this is cluster "
                f"{cluster}. {WAYS_ON}"
            )
        for name in TOPIC_OF:
            resume.topics[name] = self._checked(name, resume.topics[name])
        offsets = {name: resume.topics[name].offset for name in TOPIC_OF if name not in self._past}
        self._consumer.assign(self._partition, offsets)
        return resume

    def _checked(self, name: str, position: TopicPosition) -> TopicPosition:
        """Return the position to start from, with the log's end noted as the part that earlier runs may have read."""
        low, high = self._consumer.limits(name, self._partition)
        past = self._config.past
        first = low if past is None else 0
        offset = first if position.offset == OFFSET_BEGINNING else position.offset
        if past is not None and offset < min(low, past.end(name, self._partition)):
            self._past[name] = PastTopic(past, TOPIC_OF[name], self._partition, offset, low)
            log.info("%s-%d: reads offsets %d to %d from ClickHouse", name, self._partition, offset, low)
        else:
            self._check(name, offset, low, high)
        if position.offset != OFFSET_BEGINNING:  # a first run has published nothing
            self._earlier[name] = high
        position = TopicPosition(offset, position.clock, batch=position.batch, breaker=position.breaker)
        self._pauses.start(name, position)
        return position

    def _check(self, name: str, offset: int, low: int, high: int) -> None:
        """Raise unless a log holds an offset."""
        if not low <= offset <= high:
            raise LogMismatchError(
                f"the dataflow stopped at offset {offset:,} of {name}-{self._partition}, but that log holds "
                f"{low:,} to {high:,}: it was truncated or is another one. {WAYS_ON}"
            )

    def _read_topics(self) -> list[Decoded]:
        """Read the topics that may be read now, each as at most one batch."""
        topics = self._state.topics
        if self._config.breaker is not None:
            for name, position in topics.items():
                self._pauses.look(name, position)
        names = self._state.readable(self._config.reading, self._config.clocks.horizon)
        past = {name for name in names if name in self._past}
        held = {name: self._consumer.held(name, self._partition) for name in names if name not in past}
        if any(held[name] < topics[name].batch for name in held):
            self._consumer.poll(wait=not past and not any(held.values()) and not self._state.at_end)
        read = [self._read_past(name) if name in past else self._read(name) for name in names]
        return [decoded for decoded in read if decoded is not None]

    def _read_past(self, name: str) -> Decoded | None:
        """Take one batch of a topic from the warehouse; behind its last one the topic goes on in Kafka."""
        position, past = self._state.topics[name], self._past[name]
        before = position.clock.now
        decoded = past.take(position.batch, position.clock, self._config.decoding)
        position.offset = past.offset
        if past.is_done:
            low, high = self._consumer.limits(name, self._partition)
            past.reach(low)  # retention may have deleted more meanwhile
        if past.is_done:
            del self._past[name]
            self._check(name, position.offset, low, high)
            self._consumer.assign(self._partition, {name: position.offset})
            log.info("%s-%d: goes on in Kafka at offset %d", name, self._partition, position.offset)
        return self._note(name, decoded, before)

    def _read(self, name: str) -> Decoded | None:
        """Take and decode one batch of a topic; None if nothing came."""
        position, config = self._state.topics[name], self._config
        taken = self._consumer.take(name, self._partition, position.batch)
        if not taken:
            return None
        messages = [message for message in taken if self._is_record(message, position)]
        if not messages:
            position.offset = max(position.offset, position.end or 0)  # a log may end in control records of Kafka
            return None
        first, before = position.clock.first, position.clock.now
        decoded = decode(messages, TOPIC_OF[name], self._partition, position.clock, config.decoding)
        unread = self._pauses.first_unread(name, position, messages, decoded)
        if unread is not None:
            position.clock.first, position.clock.now = first, before
            return self._read_before(unread, name, taken)
        position.offset = max(messages[-1].offset() + 1, position.end or 0)
        return self._note(name, decoded, before)

    def _read_before(self, unread: int, name: str, taken: list[Message]) -> Decoded | None:
        """Decode the messages before an offset, and put the others back: the topic is paused there."""
        position = self._state.topics[name]
        kept = next(at for at, each in enumerate(taken) if each.error() is None and each.offset() >= unread)
        self._consumer.put_back(name, self._partition, taken[kept:])
        position.offset, position.end = unread, None
        messages = [message for message in taken[:kept] if message.error() is None]
        if not messages:
            return None
        before = position.clock.now
        decoded = decode(messages, TOPIC_OF[name], self._partition, position.clock, self._config.decoding)
        return self._note(name, decoded, before)

    def _note(self, name: str, decoded: Decoded, before: int | None) -> Decoded:
        """Count what a read of a topic gave, for metrics and for the lanes that are behind; set the size of its next.

        ``before`` is the topic's clock before the read.
        """
        position, config, events = self._state.topics[name], self._config, decoded.people.events
        moved = 0 if before is None or position.clock.now is None else position.clock.now - before
        position.resize(moved, decoded.read, config.reading)
        _count(decoded, TOPIC_OF[name])
        config.clocks.count(self._partition, position.clock.now, events["slot"])
        if config.decoding.rates.base is None:
            for number in np.unique(events["currency"]).tolist():
                config.on_money(code_of(number))
        return decoded

    def _is_record(self, message: Message, position: TopicPosition) -> bool:
        """Return whether a message is a record, not a notice of Kafka. Raises for notices that end the reading."""
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

    def _progress(self) -> Progress:
        slot, start = self._state.advance(self._interval), self._state.start(self._interval)
        self._config.clocks.reach(self._partition, slot)
        fresh = self._is_fresh() and not self._state.is_behind(self._interval)
        return Progress(self._partition, slot, start, fresh, self._is_guarded())

    def _is_fresh(self) -> bool:
        """Whether the end of the log is near, so that scores follow events at once."""
        return self._state.at_end or self._backlog() < self._config.live_backlog_events

    def _backlog(self) -> int:
        """Return the number of records that wait in Kafka or in buffers; a huge number before the first answer."""
        waiting = 0
        for name, position in self._state.topics.items():
            if name in self._past:
                waiting += UNKNOWN_BACKLOG
            elif not position.at_end:
                end = self._consumer.known_end(name, self._partition)
                waiting += end - position.offset if end >= 0 else UNKNOWN_BACKLOG
        return waiting

    def _is_guarded(self) -> bool:
        """Whether an earlier run may have published the part of the log that is read now."""
        if self._earlier:
            topics = self._state.topics
            self._earlier = {name: end for name, end in self._earlier.items() if topics[name].offset < end}
        return bool(self._earlier)

    def _observe(self, progress: Progress) -> None:
        clock = self._state.clock
        if clock is not None:
            labelled(EVENT_CLOCK, self._partition).set(clock / 1e6)
            labelled(CATCHING_UP, self._partition).set(not progress.fresh)
            if progress.slot is not None:
                JOURNAL.clock(self._partition, progress.slot * self._interval, self._interval, fresh=progress.fresh)


def _waits_for(state: LaneState, clocks: LaneClocks) -> int:
    """Return the number of the lane that a lane waits for, -1 if it waits for none; for metrics."""
    behind = clocks.behind()
    return behind.lane if behind is not None and state.is_held(clocks.horizon) else -1


def _place(resume: LaneState | None) -> str:
    """Return the start position, for the log."""
    if resume is None:
        return "reads from the beginning of the log"
    places = ", ".join(f"{name} at {position.offset:,}" for name, position in resume.topics.items())
    clock = "" if resume.clock is None else f", event clock {datetime.fromtimestamp(resume.clock / 1e6, UTC):%F %T} UTC"
    return f"resumes {places}{clock}"


def _count(decoded: Decoded, topic: Topic) -> None:
    events = decoded.read - decoded.ticks - len(decoded.dead)
    JOURNAL.read(events, decoded.dead)
    labelled(EVENTS, topic.name).inc(events)
    labelled(TICKS, topic.name).inc(decoded.ticks)
    for letter in decoded.dead:
        DEAD_LETTERS.labels(topic.name, letter.stage).inc()
