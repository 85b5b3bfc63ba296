"""Tick the input partitions whose clocks stand, so that they hold no event clock back.

Delivery: ticks are marks, not data; one more or one less does no harm. The heartbeat keeps nothing of its
own: what it must know stands in the log, so it can be killed and started at any time. One is enough; two do
no harm.
"""

import logging
import time
from datetime import timedelta
from threading import Event as StopEvent
from typing import Final

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from connectors.kafka.publisher import EPOCH, HOUR_US, Publisher
from connectors.kafka.reasons import reason_of
from connectors.kafka.tail import LOOK_BACK, SOURCE, Place, TailReader, joined
from connectors.kafka.tick_plan import DAY_US, PartitionState, Reason, TimePolicy, Timing, judge_time, plan_ticks
from contracts.errors import StoreUnavailableError
from contracts.settings import Settings
from contracts.topics import INPUT_TOPICS

FIRST_LOOK_BACK: Final = 2_048
"""Last records read of a partition at the first look, so that old events don't hide its clock."""
FIRST_LOOK_ALL: Final = 32_768
"""Records of all partitions together at the first look, at most."""
_POLL_SECONDS: Final = 0.5
_TIMEOUT_SECONDS: Final = 10.0
_MOST_BACKOFF_SECONDS: Final = 30.0
AWAY: Final = (KafkaException, StoreUnavailableError, TimeoutError)
"""What is raised while Kafka is away or hangs: its client's error, the publisher's, a future's without a result."""
_log = logging.getLogger(__name__)


def run(settings: Settings, bootstrap_servers: str, stop: StopEvent) -> None:
    """Watch all input partitions and tick the quiet ones until ``stop`` is set.

    Where Kafka is away it tries again, ever more slowly, and says so once.
    """
    failures = 0
    while not stop.is_set():
        try:
            beat = Heartbeat(settings, bootstrap_servers)
            try:
                while not stop.is_set():
                    beat.once(time.time_ns() // 1_000)
                    failures = _recovered(failures)  # after a whole round: a broker that hangs takes connections
                    stop.wait(_POLL_SECONDS)
            finally:
                beat.close()
        except AWAY as error:
            if not failures:
                _log.warning("heartbeat: Kafka at %s is away, trying again: %s", bootstrap_servers, _told(error))
            failures += 1
            stop.wait(min(_MOST_BACKOFF_SECONDS, _POLL_SECONDS * 2 ** min(failures, 16)))


def _told(error: KafkaException | StoreUnavailableError | TimeoutError) -> str:
    return str(error) if isinstance(error, StoreUnavailableError) else reason_of(error)


def _recovered(failures: int) -> int:
    if failures:
        _log.info("heartbeat: Kafka is back after %d attempts", failures)
    return 0


class Heartbeat:
    """One connection to Kafka and what it last saw there: one small state per partition."""

    def __init__(self, settings: Settings, bootstrap_servers: str):
        client = {"bootstrap.servers": bootstrap_servers, "log_level": 0, "error_cb": lambda _error: None}
        self._policy = policy_of(settings)
        self._admin = AdminClient(client)
        self._tail = TailReader(client, settings.partitions)
        self._publisher = Publisher(
            bootstrap_servers,
            settings.partitions,
            settings.sweep_hours,
            source=SOURCE,
            delivery_timeout_seconds=_TIMEOUT_SECONDS,
        )
        places = [(topic.name, number) for topic in INPUT_TOPICS for number in range(settings.partitions)]
        self._ends: dict[Place, int] = dict.fromkeys(places, 0)
        self._states = {place: PartitionState(*place) for place in places}
        self._reason: Reason = "empty"
        self._look_back = min(FIRST_LOOK_BACK, max(LOOK_BACK, FIRST_LOOK_ALL // len(places)))

    def once(self, now_us: int) -> int:
        """Look at all partitions and write the ticks that are due at ``now_us``; gives their number.

        Raises one of :data:`AWAY` when Kafka is away.
        """
        ends = self._end_offsets()
        moved = {place: end for place, end in ends.items() if end != self._ends[place]}
        known = {place for place, state in self._states.items() if state.clock_us is not None}
        for state in self._tail.read(moved, known, self._look_back):
            self._note(state)
        self._ends, self._look_back = ends, LOOK_BACK
        states = list(self._states.values())
        self._tell(judge_time(states, now_us, self._policy))
        ticks = plan_ticks(states, now_us, self._policy)
        for tick in ticks:
            self._publisher.tick_one(*tick)
        self._publisher.flush()
        for tick in ticks:  # invalid records may hide it by the next look
            self._note(PartitionState(tick.topic, tick.partition, tick.time_us, now_us))
        return len(ticks)

    def _note(self, state: PartitionState) -> None:
        place = state.topic, state.partition
        self._states[place] = joined(self._states[place], state)

    def close(self) -> None:
        """Leave Kafka."""
        self._tail.close()

    def _tell(self, timing: Timing) -> None:
        """Log why clocks move or stand, whenever that changes."""
        if timing.reason != self._reason:
            self._reason = timing.reason
            until = "" if timing.newest_us is None else f", newest time {_moment(timing.newest_us)}"
            at = timing.moves_at_us if timing.reason == "settling" else None
            moves = "" if at is None else f", time moves on at {_moment(at)}"
            _log.info("heartbeat: %s%s%s", timing.reason, until, moves)

    def _end_offsets(self) -> dict[Place, int]:
        wanted = {TopicPartition(*place): OffsetSpec.latest() for place in self._ends}
        futures = self._admin.list_offsets(wanted, request_timeout=_TIMEOUT_SECONDS)
        return {(at.topic, at.partition): f.result(_TIMEOUT_SECONDS).offset for at, f in futures.items()}


def policy_of(settings: Settings) -> TimePolicy:
    """How clocks follow time, by the settings."""
    return TimePolicy(
        mode=settings.time,
        idle_us=int(settings.heartbeat_idle_seconds * 1_000_000),
        sweep_us=settings.sweep_hours * HOUR_US,
        settles_us=int(settings.history_settles_seconds * 1_000_000),
        dormant_us=settings.dormant_days * DAY_US,
    )


def _moment(time_us: int) -> str:
    return f"{EPOCH + timedelta(microseconds=time_us):%Y-%m-%d %H:%M:%S} UTC"
