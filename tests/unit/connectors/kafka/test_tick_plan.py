"""Timelines of quiet and busy partitions. Times are seconds; the day is a sweep; 2 s is idle; 60 s settle a history."""

from dataclasses import replace

import pytest

from connectors.kafka.tick_plan import (
    Mode,
    PartitionState,
    PlannedTick,
    TimePolicy,
    Timing,
    is_live,
    judge_time,
    plan_ticks,
)

SECOND = 1_000_000
DAY = 86_400 * SECOND
NOW = 20_000 * DAY + DAY // 2
IDLE = 2 * SECOND
POLICY = TimePolicy("auto", IDLE, DAY, 60 * SECOND, 730 * DAY)
OVER = NOW - 40 * DAY
"""The end of a history."""


def state(number: int, clock: int | None, written: int | None, evidence: bool = True) -> PartitionState:
    """A partition whose last valid record happened at ``clock`` and entered Kafka at ``written``."""
    seen = (written, clock) if evidence and written is not None and clock is not None else None
    return PartitionState("t", number, clock, written, seen, written)


def ago(seconds: float) -> int:
    return NOW - int(seconds * SECOND)


def note(number: int, clock: int, written: int, *, more: bool) -> PartitionState:
    """A partition whose last record says that its publisher has more, or has finished."""
    return replace(state(number, clock, written, evidence=False), intent=(written, more))


def plan(*states: PartitionState, now: int = NOW, mode: Mode = "auto") -> list[tuple[int, int]]:
    return [(tick.partition, tick.time_us) for tick in plan_ticks(states, now, replace(POLICY, mode=mode))]


def reason(*states: PartitionState, mode: Mode = "auto", now: int = NOW) -> str:
    return judge_time(states, now, replace(POLICY, mode=mode)).reason


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
    end = OVER
    assert plan(state(0, end, ago(11)), state(1, end - 1, ago(12)), state(2, None, None)) == [(1, end), (2, end)]


def test_a_clock_that_stands_is_moved_whatever_enters_its_partition() -> None:
    """Old events came 0.1 s ago and moved no clock; one that moves by old events 0.1 s ago is not overtaken."""
    old_events = replace(state(1, ago(20), ago(20)), said_us=ago(0.1))
    assert plan(state(0, ago(0.1), ago(0.1)), old_events) == [(1, ago(2))]
    assert plan(state(0, ago(0.1), ago(0.1)), state(1, ago(20), ago(0.1))) == []


def test_a_broker_whose_clock_is_far_ahead_does_not_hold_a_clock() -> None:
    assert plan(state(0, ago(0.1), ago(0.1)), state(1, ago(20), ago(-3_600))) == [(1, ago(2))]


@pytest.mark.parametrize("newest", [0.1, 9])
def test_a_running_publisher_of_history_is_never_overtaken(newest: float) -> None:
    end = OVER
    assert plan(state(0, end, ago(newest)), state(1, end - DAY, ago(30)), state(2, None, None)) == []


def test_one_live_event_after_a_history_makes_the_stream_live() -> None:
    old = OVER
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
    ticks = plan_ticks(states, NOW, POLICY)
    after = [PartitionState(t.topic, t.partition, t.time_us, NOW, (NOW, t.time_us)) for t in ticks]
    assert [t.partition for t in ticks] == [0, 1]
    assert isinstance(ticks[0], PlannedTick)
    assert plan(*after, now=NOW + SECOND) == []


def test_time_moves_on_once_a_history_has_settled() -> None:
    """Silent for 59.9 s: clocks stand; for 60 s: all move to now, the furthest one too, and the stream is live."""
    states = [state(0, OVER, ago(59.9)), state(1, OVER, ago(70))]
    assert plan(*states) == []
    assert judge_time(states, NOW, POLICY) == Timing("settling", OVER, OVER, NOW + SECOND // 10)
    assert judge_time(states, NOW + 9 * SECOND, POLICY) == Timing("live", OVER, OVER, None, NOW + SECOND // 10)
    assert plan(*states, now=NOW + SECOND) == [(0, NOW - SECOND), (1, NOW - SECOND)]


def test_levelling_by_the_heartbeat_does_not_break_the_silence() -> None:
    levelled = PartitionState("t", 1, OVER, ago(30))
    assert plan(state(0, OVER, ago(61)), levelled) == [(0, ago(2)), (1, ago(2))]


def test_after_a_restart_days_later_time_moves_on_at_once() -> None:
    assert plan(state(0, OVER, NOW - 3 * DAY), state(1, OVER, NOW - 3 * DAY)) == [(0, ago(2)), (1, ago(2))]


def test_a_publisher_that_says_it_has_more_is_not_overtaken_though_a_live_event_comes_in_between() -> None:
    at_work = [note(0, OVER, ago(1), more=True), state(1, OVER, ago(40)), state(2, ago(0.1), ago(0.1))]
    assert reason(*at_work) == "publishing"
    assert plan(*at_work) == []


def test_a_history_with_a_live_event_in_between_is_levelled_to_its_own_end_and_then_settles() -> None:
    states = [state(0, OVER, ago(20)), state(1, OVER - DAY, ago(25)), state(2, ago(40), ago(40))]
    assert judge_time(states, NOW, POLICY) == Timing("settling", OVER, OVER - DAY, NOW + 40 * SECOND)
    assert plan(*states) == [(1, OVER)]
    assert [number for number, _ in plan(*states, now=NOW + 41 * SECOND)] == [0, 1, 2]


def test_a_publisher_that_was_killed_is_covered_by_its_silence() -> None:
    killed = [note(0, OVER, ago(60), more=True), state(1, OVER, ago(61)), state(2, ago(20), ago(20))]
    assert reason(*killed) == "live"
    assert [number for number, _ in plan(*killed)] == [0, 1, 2]
    assert reason(*killed[:2]) == "live"


def test_after_a_finished_history_a_live_event_is_enough() -> None:
    states = [note(0, OVER, ago(3), more=False), state(1, ago(0.5), ago(0.5))]
    assert plan(*states) == [(0, ago(2))]


def test_the_last_note_counts_wherever_it_is() -> None:
    live = state(2, ago(0.1), ago(0.1))
    assert reason(note(0, OVER, ago(4), more=False), note(1, OVER, ago(3), more=True), live) == "publishing"
    assert reason(note(0, OVER, ago(2), more=False), note(1, OVER, ago(3), more=True), live) == "live"


def test_a_nightly_file_stops_no_clock_that_is_at_now_already() -> None:
    """Yesterday's orders are older than the clocks, at work or not: nothing could be overtaken."""
    yesterday = replace(note(0, ago(8), ago(1), more=True), evidence=(ago(1), NOW - DAY))
    assert plan(yesterday, state(1, ago(9), ago(9))) == [(1, ago(2))]


def test_a_history_of_one_topic_moves_what_was_never_written_too() -> None:
    assert plan(state(0, OVER, ago(61)), state(1, None, None)) == [(0, ago(2)), (1, ago(2))]


def test_a_history_after_whose_end_everybody_is_dormant_stays_where_it_ends() -> None:
    """Time that moved on over decades would leave nobody to score: this is a study. A live event ends it."""
    long_ago = NOW - 731 * DAY
    assert judge_time([state(0, long_ago, ago(99))], NOW, POLICY).reason == "old"
    assert plan(state(0, long_ago, ago(99)), state(1, None, None)) == [(1, long_ago)]
    assert reason(state(0, long_ago, ago(99)), state(1, ago(1), ago(1))) == "live"
    assert reason(state(0, NOW - 729 * DAY, ago(99))) == "live"


def test_a_declared_history_stays_whatever_comes() -> None:
    assert plan(state(0, OVER, ago(9_999)), state(1, OVER - DAY, ago(9_999)), mode="history") == [(1, OVER)]
    assert reason(state(0, ago(1), ago(1)), mode="history") == "history"


def test_a_declared_live_stream_moves_at_once() -> None:
    assert plan(state(0, OVER, ago(3)), note(1, OVER, ago(1), more=True), mode="live") == [(0, ago(2))]
    assert plan(state(0, None, None), mode="live") == []
