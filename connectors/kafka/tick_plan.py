"""Decide which quiet partitions get a tick, and up to what time. Pure: no client and no clock in here.

The event clock of the dataflow is that of its slowest partition. Publishers of history tick by themselves. This plan
covers the rest: quiet partitions of a live stream, a history that is over, and a history whose publisher died.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

DAY_US: Final = 86_400_000_000
LIVE_WITHIN_US: Final = DAY_US
"""A record is live when its event time is less than a day from the moment at which it entered Kafka."""
STRIDE_US: Final = 5_000_000
"""Between sweep boundaries, a live clock is moved on only when it is this far behind: ticks cost space."""
SETTLED_IDLES: Final = 5
"""After this many idle times without a valid record, clocks of a history are levelled among themselves."""

Mode = Literal["auto", "live", "history"]
Reason = Literal["empty", "live", "publishing", "settling", "old", "history"]
"""Why clocks move or stand: the log is ``empty``; the stream is ``live``; a history is being published
(``publishing``), is over but not for long (``settling``), or ended so long ago that all its customers are dormant
(``old``); clocks stand as declared (``history``)."""


@dataclass(frozen=True)
class PartitionState:
    """What the last records of one partition tell. All times are microseconds since 1970 UTC.

    ``clock_us`` is the latest event time or tick (None: no valid record, so infinitely behind), ``advanced_us`` when
    the record entered Kafka that moved it there, and ``evidence`` the last event or live tick: when it entered
    Kafka and its event time. ``said_us`` is when the last valid record entered that is not the heartbeat's, and
    ``intent`` the last tick in which a publisher said what it intends: when it entered, and whether there is more.
    ``invalid`` are the invalid records since the last event, among those read.
    """

    topic: str
    partition: int
    clock_us: int | None = None
    advanced_us: int | None = None
    evidence: tuple[int, int] | None = None
    said_us: int | None = None
    intent: tuple[int, bool] | None = None
    invalid: int = 0


@dataclass(frozen=True)
class TimePolicy:
    """How clocks follow time. Durations are in microseconds; ``mode`` is the setting ``CRM_TIME``."""

    mode: Mode
    idle_us: int
    sweep_us: int
    settles_us: int
    dormant_us: int


@dataclass(frozen=True)
class Timing:
    """Whether clocks follow the wall clock, and why. Times are microseconds since 1970 UTC.

    ``newest_us`` is the furthest clock of the log (in a history: of its own), ``slowest_us`` the one furthest behind
    (None: a partition has none), and ``moves_at_us`` when time moves on to now if nothing more is published (None: it
    does already, or never will). ``live_since_us`` is since when, at the latest, clocks follow the wall clock, as far
    as the end of the log shows.
    """

    reason: Reason
    newest_us: int | None = None
    slowest_us: int | None = None
    moves_at_us: int | None = None
    live_since_us: int | None = None


class PlannedTick(NamedTuple):
    """A tick to write: where, and its time in microseconds since 1970 UTC."""

    topic: str
    partition: int
    time_us: int


def judge_time(states: Sequence[PartitionState], now_us: int, policy: TimePolicy) -> Timing:
    """Tell whether clocks follow the wall clock at ``now_us``, and if not, why and until when."""
    clocks = [state.clock_us for state in states if state.clock_us is not None]
    if not clocks:
        return Timing("empty")
    slowest = min(clocks) if len(clocks) == len(states) else None
    reason, moves_at = _reason(states, clocks, now_us, policy)
    past = [clock for clock in clocks if not is_live_record(now_us, clock)]
    newest = max(past if reason in ("publishing", "settling") else clocks)  # a live event in between does not end them
    return Timing(reason, newest, slowest, moves_at, _live_since(states, policy) if reason == "live" else None)


def _reason(
    states: Sequence[PartitionState], clocks: list[int], now_us: int, policy: TimePolicy
) -> tuple[Reason, int | None]:
    """The reason, and when time moves on."""
    said = max((state.said_us for state in states if state.said_us is not None), default=0)
    settled_at = said + policy.settles_us
    if policy.mode != "auto":
        return policy.mode, None
    if all(is_live_record(now_us, clock) for clock in clocks):  # nobody's events could still be in time: no history
        return "live", None
    if _is_open(states, now_us - policy.settles_us):
        return "publishing", settled_at
    if is_live(states):
        return "live", None
    if now_us - max(clocks) > policy.dormant_us:
        return "old", None
    return ("live", None) if now_us >= settled_at else ("settling", settled_at)


def _live_since(states: Sequence[PartitionState], policy: TimePolicy) -> int:
    """When the oldest of the live records at the log's end came; without one, when the history had settled."""
    seen = [state.evidence[0] for state in states if state.evidence is not None and is_live_record(*state.evidence)]
    said = max((state.said_us for state in states if state.said_us is not None), default=0)
    return min(seen, default=said + policy.settles_us)


def plan_ticks(states: Sequence[PartitionState], now_us: int, policy: TimePolicy) -> list[PlannedTick]:
    """Plan the ticks that are due at ``now_us`` for partitions whose clocks have stood for ``policy.idle_us``.

    In a live stream clocks follow ``now_us - idle_us``, whatever enters a partition: invalid records and old events
    move no clock. Otherwise they follow the furthest clock of all, and only once no publisher has written a valid
    record for a while: a publisher at work is never overtaken, or its events would count as late.
    """
    timing = judge_time(states, now_us, policy)
    if timing.newest_us is None:
        return []
    live = timing.reason == "live"
    if not live and (timing.reason == "publishing" or not _settled(states, now_us, SETTLED_IDLES * policy.idle_us)):
        return []
    target = now_us - policy.idle_us if live else timing.newest_us
    stride = STRIDE_US if live else 0
    return [
        PlannedTick(state.topic, state.partition, target)
        for state in states
        if _is_due(state.clock_us, target, stride, policy.sweep_us)
        and (not live or _stands(state, now_us, policy.idle_us))
    ]


def is_live(states: Sequence[PartitionState]) -> bool:
    """Tell whether the newest evidence over all partitions happened about when it entered Kafka."""
    newest = max((state.evidence for state in states if state.evidence is not None), default=None)
    return newest is not None and is_live_record(*newest)


def is_live_record(written_us: int, event_us: int) -> bool:
    """Tell whether a record's event time is less than a day from its entry into Kafka, before or after."""
    return abs(written_us - event_us) < LIVE_WITHIN_US


def _is_open(states: Sequence[PartitionState], since_us: int) -> bool:
    """Tell whether a publisher of history has said since ``since_us`` that it has more, and not yet that it ended."""
    newest = max((state.intent for state in states if state.intent is not None), default=None)
    return newest is not None and newest[1] and newest[0] > since_us


def _settled(states: Sequence[PartitionState], now_us: int, idle_us: int) -> bool:
    """Tell whether no partition got a valid record, but for ticks of the heartbeat, in the last ``idle_us``."""
    return all(state.said_us is None or now_us - state.said_us >= idle_us for state in states)


def _stands(state: PartitionState, now_us: int, idle_us: int) -> bool:
    """Tell whether a clock has not moved in the last ``idle_us``. A time that is still to come is of another clock."""
    return state.advanced_us is None or abs(now_us - state.advanced_us) >= idle_us


def _is_due(clock_us: int | None, target: int, stride: int, sweep_us: int) -> bool:
    """Tell whether a clock is too far behind ``target``, or a sweep boundary lies between them."""
    if clock_us is None:
        return True
    return target > clock_us and (target - clock_us > stride or target // sweep_us > clock_us // sweep_us)
