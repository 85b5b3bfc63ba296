"""Tick the input partitions in which nothing happens, so that they hold no event clock back.

Delivery: ticks are marks, not data; one more or one less does no harm. The heartbeat keeps nothing of its
own: what it must know stands in the log, so it can be killed and started at any time. One is enough; two do
no harm.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from threading import Event as StopEvent
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec
from pydantic import ValidationError

from connectors.kafka.publisher import EPOCH, HOUR_US, Publisher
from connectors.kafka.reasons import reason_of
from connectors.kafka.tick_plan import (
    DAY_US,
    PartitionState,
    Reason,
    TimePolicy,
    Timing,
    is_live_record,
    judge_time,
    plan_ticks,
)
from contracts.errors import StoreUnavailableError
from contracts.events import CLOCK_TOLERANCE, FUTURE_TOLERANCE, TICK_KEY, Event, Kind, Tick
from contracts.settings import Settings
from contracts.topics import INPUT_TOPICS
from contracts.wire import RejectedError, judge

SOURCE: Final = "heartbeat"
LOOK_BACK: Final = 8
"""Last records read of a partition, so that a few broken ones don't hide its clock."""
DEEPER: Final = 16
MOST_LOOK_BACK: Final = 32_768
"""Where there is nothing to read in the last offsets (transactions that were given up leave such), look so far back."""
_POLL_SECONDS: Final = 0.5
_TIMEOUT_SECONDS: Final = 10.0
_MOST_BACKOFF_SECONDS: Final = 30.0
AWAY: Final = (KafkaException, StoreUnavailableError, TimeoutError)
"""What is raised while Kafka is away or hangs: its client's error, the publisher's, a future's without a result."""
_KIND_OF: Final[dict[str, Kind]] = {t.name: t.kind for t in INPUT_TOPICS if t.kind is not None}
_MICROSECOND: Final = timedelta(microseconds=1)
_log = logging.getLogger(__name__)

Place = tuple[str, int]


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
        self._tail = TailReader(client)
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

    def once(self, now_us: int) -> int:
        """Look at all partitions and write the ticks that are due at ``now_us``; gives their number.

        Raises one of :data:`AWAY` when Kafka is away.
        """
        ends = self._end_offsets()
        moved = {place: end for place, end in ends.items() if end != self._ends[place]}
        for place, records in self._tail.read(moved).items():
            self._states[place] = never_back(self._states[place], state_of(place, records))
        self._ends = ends
        states = list(self._states.values())
        self._tell(judge_time(states, now_us, self._policy))
        ticks = plan_ticks(states, now_us, self._policy)
        for tick in ticks:
            self._publisher.tick_one(*tick)
        self._publisher.flush()
        return len(ticks)

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


def never_back(before: PartitionState, now: PartitionState) -> PartitionState:
    """A clock never goes back, though the last records may all be older than one before them."""
    known = [clock for clock in (before.clock_us, now.clock_us) if clock is not None]
    return replace(now, clock_us=max(known, default=None))


class TailReader:
    """Reads the last records of partitions."""

    def __init__(self, client: dict[str, object]):
        self._consumer = Consumer(
            {
                **client,
                "group.id": "crm-heartbeat",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "max.partition.fetch.bytes": 65_536,
            }
        )

    def read(self, ends: dict[Place, int]) -> dict[Place, list[Message]]:
        """Read up to :data:`LOOK_BACK` records before the given end offset of each partition, oldest first.

        Raises :class:`KafkaException` when Kafka is away.
        """
        found: dict[Place, list[Message]] = {place: [] for place in ends}
        look_back, silent = LOOK_BACK, ends
        while silent and look_back <= MOST_LOOK_BACK:
            found |= self._read(silent, look_back)
            silent = {place: end for place, end in silent.items() if end > look_back and not found[place]}
            look_back *= DEEPER
        return found

    def _read(self, ends: dict[Place, int], look_back: int) -> dict[Place, list[Message]]:
        starts = [TopicPartition(*place, max(0, end - look_back)) for place, end in ends.items()]
        self._consumer.assign(starts)
        found: dict[Place, list[Message]] = {place: [] for place in ends}
        waiting = {place for place, end in ends.items() if end}
        for message in self._messages(waiting):
            place = (message.topic(), message.partition())
            if message.error() is None and message.offset() < ends[place]:
                found[place].append(message)
            if message.error() is not None or message.offset() >= ends[place] - 1:
                waiting.discard(place)
        self._consumer.unassign()
        return found

    def close(self) -> None:
        """Leave Kafka."""
        self._consumer.close()

    def _messages(self, waiting: set[Place]) -> Iterator[Message]:
        """Yield records and ends of partitions while somebody is waiting."""
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while waiting:
            if time.monotonic() > deadline:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no records in time"))
            for message in self._consumer.consume(1_000, 0.05):
                error = message.error()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                yield message


def state_of(place: Place, records: list[Message]) -> PartitionState:
    """Make a partition's state of its last records, oldest first."""
    state = PartitionState(*place)
    for message in records:
        written = message.timestamp()[1] * 1_000
        state = replace(state, written_us=written)
        with suppress(RejectedError, ValidationError):
            if message.key() == TICK_KEY:
                state = _after_tick(state, Tick.model_validate_json(message.value() or b""), written)
            else:
                state = _after_event(state, judge(_KIND_OF[place[0]], message.value()), written)
    return state


def _after_tick(state: PartitionState, tick: Tick, written: int) -> PartitionState:
    """Take in a tick. A heartbeat's in a live stream is evidence that it is live, a publisher's is not."""
    tick_us = _microseconds(tick.occurred_at)
    if not 0 <= tick_us <= _latest(written):
        return state
    if tick.history is not None:
        state = replace(state, intent=(written, tick.history == "open"))
    if tick.source != SOURCE:
        state = replace(state, said_us=written)
    elif is_live_record(written, tick_us):
        state = replace(state, evidence=(written, tick_us))
    return _moved(state, tick_us) if tick_us else state


def _after_event(state: PartitionState, event: Event, written: int) -> PartitionState:
    if _microseconds(event.received_at) > _latest(written):
        return state
    event_us = _microseconds(min(event.occurred_at, event.received_at + CLOCK_TOLERANCE))
    return _moved(replace(state, evidence=(written, event_us), said_us=written), event_us)


def _moved(state: PartitionState, time_us: int) -> PartitionState:
    return replace(state, clock_us=time_us if state.clock_us is None else max(state.clock_us, time_us))


def _latest(written_us: int) -> int:
    """The latest time that a record may name; the dataflow refuses what lies further ahead of its entry into Kafka."""
    return written_us + FUTURE_TOLERANCE // _MICROSECOND


def _moment(time_us: int) -> str:
    return f"{EPOCH + timedelta(microseconds=time_us):%Y-%m-%d %H:%M:%S} UTC"


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // _MICROSECOND
