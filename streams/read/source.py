"""Reads the input topics, one lane at a time, as batches of columns.

Delivery: exactly once into the dataflow. A lane resumes from the offsets of its last snapshot, never from the consumer
group. It refuses to start if the log is not the one that the offsets belong to. Offsets are committed to the group only
after their epoch has completed and ClickHouse has its rows, so that lag in Kafka tools shows unfinished work.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from contracts.blocks import LaneBatch, Progress
from contracts.metrics import CATCHING_UP, EVENT_CLOCK, LANE_WAITS, labelled
from streams.error_boundary import error_boundary
from streams.journal import JOURNAL
from streams.read.batch import ReportedCustomers, lane_batch
from streams.read.config import SourceConfig
from streams.read.consumer import SharedConsumer, connect
from streams.read.epoch_rest import EpochRest
from streams.read.held import HeldPositions
from streams.read.lane import LaneState
from streams.read.pausing import TopicPauses
from streams.read.skew import LaneClocks
from streams.read.start import Start, described
from streams.read.topic_reader import TopicReader
from streams.state.token import Token


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
        JOURNAL.start(partition, described(resume))
        start = Start(partition, config, consumer, TopicPauses(partition, config.breaker, config.accepted))
        self._state = start.begin(resume)
        self._topics = TopicReader(partition, config, consumer, start.pauses, start.past, self._state)
        self._earlier = start.earlier
        """The ends of the logs at the start of this process, until they are reached."""
        self._state.new_epoch()
        self._join_clocks()
        self._through: LaneState | None = None
        self._held = HeldPositions(config.rows)
        self._epoch_rest = EpochRest(config.epoch_seconds)
        self._emitted: Progress | None = None
        self._idle = False

    @error_boundary
    def next_batch(self) -> Iterable[LaneBatch]:
        """Read the topics that may be read now, as at most one batch.

        Bytewax calls this after a snapshot only when the epoch of the snapshot has completed.
        """
        self._epoch_rest.go_on()
        self._publish_position()
        if self._config.stopping():
            raise StopIteration
        JOURNAL.beat()
        if self._config.is_held():
            self._consumer.is_silent(self._partition)  # a consumer is polled all the time
            self._idle = False
            return []
        if self._idle and not self._topics.past and self._consumer.is_silent(self._partition):
            return []
        behind = self._state.is_behind(self._interval)  # after a jump nothing is read until devices have its last slot
        got = [] if behind else self._topics.read()
        progress = self._progress()
        (self._consumer.live.add if progress.fresh else self._consumer.live.discard)(self._partition)
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
        """Pause if there was nothing to read, and while other workers end the epoch."""
        rest = self._consumer.rest() if self._idle else None
        seconds = self._epoch_rest.seconds()
        if not seconds:
            return rest
        end = datetime.now(UTC) + timedelta(seconds=seconds)
        return end if rest is None else max(rest, end)

    @error_boundary
    def snapshot(self) -> Mapping[str, Any]:
        """Return the position after the last batch."""
        self._epoch_rest.end()
        self._consumer.stir()
        plain = self._state.to_plain()
        self._through = self._state.copy()
        if self._consumer.is_last_to_end(self._partition):
            self._config.on_epoch_end(bool(self._consumer.live))
        self._state.new_epoch()
        return Token(plain, self._config.before_commit)

    def close(self) -> None:
        """Release the lane; the last lane closes the consumer."""
        self._config.clocks.leave(self._partition)
        self._consumer.release(self._partition)

    def _publish_position(self) -> None:
        """Commit the newest position of a completed epoch whose rows are stored, if there is a new one."""
        through, self._through = self._through, None
        if through is not None and not through.is_behind(self._interval):
            self._held.hold({name: position.offset for name, position in through.topics.items()})
        stored = self._held.take()
        if stored is not None:
            self._consumer.commit(self._partition, stored)

    def _join_clocks(self) -> None:
        """Take part in the back-pressure between lanes, and show in metrics which lane this one waits for."""
        state, clocks = self._state, self._config.clocks
        state.ahead = {} if state.ahead is None else state.ahead
        clocks.join(self._partition, state.ahead)
        clocks.reach(self._partition, state.slot)
        LANE_WAITS.labels(self._partition).set_function(partial(_waits_for, state, clocks))

    def _progress(self) -> Progress:
        slot, start = self._state.advance(self._interval), self._state.start(self._interval)
        self._config.clocks.reach(self._partition, slot)
        fresh = self._is_fresh() and not self._state.is_behind(self._interval)
        return Progress(self._partition, slot, start, fresh, self._is_guarded())

    def _is_fresh(self) -> bool:
        """Whether the end of the log is near, so that scores follow events at once."""
        waiting = self._topics.backlog()
        return not waiting or waiting < self._config.live_backlog_events

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
