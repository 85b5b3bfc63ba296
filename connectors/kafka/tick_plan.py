"""Decide which quiet partitions get a tick, and up to what time. Pure: no client and no clock in here.

The event clock of the dataflow is that of its slowest partition. Publishers of history tick by themselves;
this plan is for what nobody ticks: partitions of a live stream in which nothing happens, and a history
whose publisher died before its last tick.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

LIVE_WITHIN_US: Final = 86_400_000_000
"""A record is live when its event time is less than a day from the moment at which it entered Kafka."""
STRIDE_US: Final = 5_000_000
"""Between sweep boundaries, a live clock is moved on only when it is this far behind: ticks cost space."""
SETTLED_IDLES: Final = 5
"""A history counts as over when the whole log has been silent for this many idle times."""


@dataclass(frozen=True)
class PartitionState:
    """What the last records of one partition tell. All times are microseconds since 1970 UTC.

    ``clock_us`` is the latest event time or tick (None: no readable record, so infinitely behind),
    ``written_us`` when the last record entered Kafka (None: none is there), and ``evidence`` the last event
    or live tick: when it entered Kafka and its event time.
    """

    topic: str
    partition: int
    clock_us: int | None = None
    written_us: int | None = None
    evidence: tuple[int, int] | None = None


class PlannedTick(NamedTuple):
    """A tick to write: where, and its time in microseconds since 1970 UTC."""

    topic: str
    partition: int
    time_us: int


def plan_ticks(states: Sequence[PartitionState], now_us: int, idle_us: int, sweep_us: int) -> list[PlannedTick]:
    """Plan the ticks that are due at ``now_us`` for partitions that have been silent for ``idle_us``.

    In a live stream clocks follow ``now_us - idle_us``. Otherwise they follow the furthest clock of all,
    and only once the whole log is silent: a running publisher is never overtaken, or its events would count
    as late.
    """
    clocks = [state.clock_us for state in states if state.clock_us is not None]
    if not clocks:
        return []
    live = is_live(states)
    target = now_us - idle_us if live else max(clocks)
    if not live and not _settled(states, now_us, SETTLED_IDLES * idle_us):
        return []
    stride = STRIDE_US if live else 0
    return [
        PlannedTick(state.topic, state.partition, target)
        for state in states
        if _silent(state, now_us, idle_us) and _is_due(state.clock_us, target, stride, sweep_us)
    ]


def is_live(states: Sequence[PartitionState]) -> bool:
    """Tell whether the newest evidence over all partitions happened about when it entered Kafka."""
    newest = max((state.evidence for state in states if state.evidence is not None), default=None)
    return newest is not None and is_live_record(*newest)


def is_live_record(written_us: int, event_us: int) -> bool:
    """Tell whether a record's event time is less than a day from its entry into Kafka, before or after."""
    return abs(written_us - event_us) < LIVE_WITHIN_US


def _settled(states: Sequence[PartitionState], now_us: int, idle_us: int) -> bool:
    return all(_silent(state, now_us, idle_us) for state in states)


def _silent(state: PartitionState, now_us: int, idle_us: int) -> bool:
    return state.written_us is None or now_us - state.written_us >= idle_us


def _is_due(clock_us: int | None, target: int, stride: int, sweep_us: int) -> bool:
    """Tell whether a clock is too far behind ``target``, or a sweep boundary lies between them."""
    if clock_us is None:
        return True
    return target > clock_us and (target - clock_us > stride or target // sweep_us > clock_us // sweep_us)
