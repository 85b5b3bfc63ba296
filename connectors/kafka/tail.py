"""Tells what the last records of the input partitions tell about time: their clocks, and what publishers intend.

Delivery: reads only, outside the dataflow's consumer group. One record is held at a time, however many are read.
"""

import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition, murmur2
from pydantic import ValidationError

from connectors.kafka.publisher import EPOCH
from connectors.kafka.tick_plan import PartitionState, is_live_record
from contracts.events import CLOCK_TOLERANCE, FUTURE_TOLERANCE, TICK_KEY, Event, Kind, Tick, key_of
from contracts.refused import REFUSED_KEY
from contracts.topics import INPUT_TOPICS
from contracts.wire import RejectedError, judge

SOURCE: Final = "heartbeat"
"""The source that the heartbeat's ticks name."""
LOOK_BACK: Final = 8
"""Last records read of a partition, so that a few invalid ones don't hide its clock."""
DEEPER: Final = 16
MOST_LOOK_BACK: Final = 32_768
"""Where the last records tell no clock (invalid ones don't, and transactions that were given up leave none), look so
far back."""
_TIMEOUT_SECONDS: Final = 10.0
_KIND_OF: Final[dict[str, Kind]] = {t.name: t.kind for t in INPUT_TOPICS if t.kind is not None}
_MICROSECOND: Final = timedelta(microseconds=1)

Place = tuple[str, int]


def joined(before: PartitionState, now: PartitionState) -> PartitionState:
    """Join what was known of a partition with what its last records tell: these may be old, or invalid."""
    older = now.clock_us is None or (before.clock_us is not None and before.clock_us >= now.clock_us)
    latest = before if older else now
    return replace(
        latest,
        evidence=max(filter(None, (before.evidence, now.evidence)), default=None),
        said_us=max(filter(None, (before.said_us, now.said_us)), default=None),
        intent=max(filter(None, (before.intent, now.intent)), default=None),
        invalid=now.invalid,
    )


class TailReader:
    """Reads the last records of partitions; a topic has ``partitions`` of them."""

    def __init__(self, client: dict[str, object], partitions: int):
        self._partitions = partitions
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

    def read(
        self, ends: dict[Place, int], known: Collection[Place] = (), look_back: int = LOOK_BACK
    ) -> list[PartitionState]:
        """Tell what the last records before the given end offset of each partition tell.

        ``look_back`` offsets are read, and more of a partition whose clock they don't tell, unless it is ``known``.
        Raises :class:`KafkaException` when Kafka is away.
        """
        states = {place: PartitionState(*place) for place in ends}
        unclear = ends
        while unclear and look_back <= MOST_LOOK_BACK:
            found = self._read(unclear, look_back)
            states |= found
            unclear = {
                place: end for place, end in unclear.items()
                if end > look_back and (place not in found or (found[place].clock_us is None and place not in known))
            }  # fmt: skip
            look_back *= DEEPER
        return list(states.values())

    def _read(self, ends: dict[Place, int], look_back: int) -> dict[Place, PartitionState]:
        """Tell what so many offsets before the ends tell, of the partitions that have a record there."""
        starts = [TopicPartition(*place, max(0, end - look_back)) for place, end in ends.items()]
        self._consumer.assign(starts)
        states: dict[Place, PartitionState] = {}
        waiting = {place for place, end in ends.items() if end}
        for message in self._messages(waiting):
            place = (message.topic(), message.partition())
            if message.error() is None and message.offset() < ends[place]:
                state = states.get(place) or PartitionState(*place)
                states[place] = after(state, message, self._partitions)
            if message.error() is not None or message.offset() >= ends[place] - 1:
                waiting.discard(place)
        self._consumer.unassign()
        return states

    def close(self) -> None:
        """Leave Kafka."""
        self._consumer.close()

    def _messages(self, waiting: set[Place]) -> Iterator[Message]:
        """Yield records and ends of partitions while somebody is waiting."""
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while waiting:
            if time.monotonic() > deadline:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no records in time"))
            found = self._consumer.consume(1_000, 0.05)
            if any((message.topic(), message.partition()) in waiting for message in found):
                deadline = time.monotonic() + _TIMEOUT_SECONDS
            for message in found:
                error = message.error()
                if error is not None and error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                yield message


def after(state: PartitionState, message: Message, partitions: int) -> PartitionState:
    """Return a partition's state after one more record. One that the dataflow refuses as invalid is only counted."""
    written = message.timestamp()[1] * 1_000
    with suppress(RejectedError, ValidationError):
        if message.key() == TICK_KEY:
            return _after_tick(state, Tick.model_validate_json(message.value() or b""), written)
        if message.key() != REFUSED_KEY:
            event = judge(_KIND_OF[state.topic], message.value())
            if state.partition in _homes(event, partitions):
                return _after_event(state, event, written)
    return replace(state, invalid=state.invalid + 1)


def _homes(event: Event, partitions: int) -> set[int]:
    """Return the partitions in which the dataflow accepts an event: that of its key, and that of its customer."""
    ids = {key_of(event, event.properties), event.customer_id or ""} - {""}
    return {int(murmur2(one.encode(), partitions)) for one in ids}


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
    return _moved(state, tick_us, written) if tick_us else state


def _after_event(state: PartitionState, event: Event, written: int) -> PartitionState:
    if _microseconds(event.received_at) > _latest(written):
        return state
    event_us = _microseconds(min(event.occurred_at, event.received_at + CLOCK_TOLERANCE))
    return _moved(replace(state, evidence=(written, event_us), said_us=written, invalid=0), event_us, written)


def _moved(state: PartitionState, time_us: int, written: int) -> PartitionState:
    if state.clock_us is not None and time_us <= state.clock_us:
        return state
    return replace(state, clock_us=time_us, advanced_us=written)


def _latest(written_us: int) -> int:
    """The latest time that a record may name; the dataflow refuses what lies further ahead of its entry into Kafka."""
    return written_us + FUTURE_TOLERANCE // _MICROSECOND


def _microseconds(moment: datetime) -> int:
    return (moment - EPOCH) // _MICROSECOND
