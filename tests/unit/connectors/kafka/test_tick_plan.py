"""Timelines of quiet and busy partitions. Times are seconds; the day is a sweep; 2 s is idle."""

import pytest

from connectors.kafka.tick_plan import PartitionState, PlannedTick, is_live, plan_ticks

SECOND = 1_000_000
DAY = 86_400 * SECOND
NOW = 20_000 * DAY + DAY // 2
IDLE = 2 * SECOND


def state(number: int, clock: int | None, written: int | None, evidence: bool = True) -> PartitionState:
    """A partition whose last record happened at ``clock`` and entered Kafka at ``written``."""
    seen = (written, clock) if evidence and written is not None and clock is not None else None
    return PartitionState("t", number, clock, written, seen)


def ago(seconds: float) -> int:
    return NOW - int(seconds * SECOND)


def plan(*states: PartitionState, now: int = NOW) -> list[tuple[int, int]]:
    return [(tick.partition, tick.time_us) for tick in plan_ticks(states, now, IDLE, DAY)]


def test_an_empty_log_gets_no_ticks() -> None:
    assert plan(state(0, None, None), state(1, None, None)) == []


def test_a_log_of_broken_records_gets_no_ticks() -> None:
    assert plan(state(0, None, ago(100)), state(1, None, None)) == []


def test_a_live_stream_moves_what_is_silent_to_now_less_the_grace() -> None:
    """p0 busy, p1 silent for 10 s, p2 never written, p3 holds only broken records: 1, 2 and 3 move."""
    states = [state(0, ago(0.1), ago(0.1)), state(1, ago(10), ago(10)), state(2, None, None), state(3, None, ago(9))]
    assert plan(*states) == [(1, ago(2)), (2, ago(2)), (3, ago(2))]


def test_ticks_are_five_seconds_apart() -> None:
    """A clock at -6.9 s is 4.9 s behind the target at -2 s: not yet; at -7.1 s it is due."""
    busy = state(0, ago(0.1), ago(0.1))
    assert plan(busy, state(1, ago(6.9), ago(4))) == []
    assert plan(busy, state(1, ago(7.1), ago(4))) == [(1, ago(2))]


def test_a_sweep_boundary_is_ticked_at_once() -> None:
    midnight = NOW - NOW % DAY
    now = midnight + IDLE + SECOND // 2
    clock, busy = midnight - SECOND, state(0, now, now)
    assert plan(busy, state(1, clock, clock), now=now) == [(1, midnight + SECOND // 2)]
    assert plan(busy, state(1, clock, clock), now=now - SECOND) == []


def test_no_tick_goes_backwards() -> None:
    """Clocks that run ahead of the wall clock stay where they are."""
    ahead = NOW + 3_600 * SECOND
    assert plan(state(0, ahead, ago(60)), state(1, ago(3), ago(60))) == []


def test_a_history_that_is_over_is_levelled_to_its_furthest_clock() -> None:
    """The whole log silent for 10 s: everything behind moves to the furthest clock, not to now."""
    end = 10_000 * DAY
    assert plan(state(0, end, ago(11)), state(1, end - 1, ago(12)), state(2, None, None)) == [(1, end), (2, end)]


@pytest.mark.parametrize("newest", [0.1, 9])
def test_a_running_publisher_of_history_is_never_overtaken(newest: float) -> None:
    end = 10_000 * DAY
    assert plan(state(0, end, ago(newest)), state(1, end - DAY, ago(30)), state(2, None, None)) == []


def test_one_live_event_after_a_history_makes_the_stream_live() -> None:
    old = 10_000 * DAY
    states = [state(0, old, ago(100)), state(1, ago(3), ago(3))]
    assert is_live(states)
    assert plan(*states) == [(0, ago(2))]


def test_ticks_of_a_publisher_of_history_do_not_make_a_stream_live() -> None:
    assert not is_live([state(0, ago(30), ago(30), evidence=False)])


def test_a_simulated_future_is_not_live() -> None:
    """Accelerated time runs ahead of the wall clock: clocks are levelled among themselves, without it."""
    future = NOW + 100 * DAY
    assert plan(state(0, future, ago(20)), state(1, future - DAY, ago(20))) == [(1, future)]


def test_ticked_partitions_are_content() -> None:
    """What the plan asks for, once written, leaves nothing due."""
    states = [state(0, ago(30), ago(30)), state(1, None, None)]
    ticks = plan_ticks(states, NOW, IDLE, DAY)
    after = [PartitionState(t.topic, t.partition, t.time_us, NOW, (NOW, t.time_us)) for t in ticks]
    assert [t.partition for t in ticks] == [0, 1]
    assert isinstance(ticks[0], PlannedTick)
    assert plan(*after, now=NOW + SECOND) == []
