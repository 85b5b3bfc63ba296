"""Event clocks, on timelines drawn in ASCII: one character is one hour, a slot is ten hours.

A digit is an event that happened at its column and was received at once; ``t`` below it is a tick. Events come
in the order of their digits, which is the order of the log, not that of their times.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.read.clock import TOLERANCE, TopicClock, lane_clock, lane_start

HOUR = 3_600_000_000
SLOT = 10 * HOUR
Placed = tuple[list[int], list[bool]]


def array(values: list[int]) -> np.ndarray:
    return np.array(values, np.int64)


def place(clock: TopicClock, times: list[int], ticks: list[tuple[int, int]] | None = None, first: int = 0) -> Placed:
    """Events at offsets ``first``, ``first + 1``, ... received when they happened."""
    offsets = array([first + position for position in range(len(times))])
    slots, late = clock.place(array(times), array(times), offsets, ticks or [], SLOT)
    return slots.tolist(), late.tolist()


def draw(timeline: str) -> list[int]:
    """The times of a timeline's digits, by digit."""
    found = {int(mark): at * HOUR for at, mark in enumerate(timeline) if mark.isdigit()}
    return [found[number] for number in sorted(found)]


@pytest.mark.parametrize(
    ("timeline", "slots", "late"),
    [
        # slots: 0         1         2         3
        ("-------1--2------3-----4--------", [0, 1, 1, 2], []),
        ("-------2--1---------------------", [1, 1], [2]),  # 2 comes when slot 0 is over: it counts in slot 1
        ("----3--1------------------2-----", [0, 2, 2], [3]),
        ("-----------2--1-----------------", [1, 1], []),  # out of order within its slot: not late
        ("1-------------------3-------4--2", [0, 3, 3, 3], [3, 4]),
    ],
)
def test_an_event_counts_in_its_slot_or_in_that_of_the_clock(timeline: str, slots: list[int], late: list[int]) -> None:
    placed, is_late = place(TopicClock(), draw(timeline))
    assert placed == slots
    assert [number for number, each in enumerate(is_late, 1) if each] == late


def test_a_tick_moves_the_clock_and_makes_what_follows_late() -> None:
    clock = TopicClock()
    place(clock, [5 * HOUR], ticks=[(1, 25 * HOUR)])
    assert place(clock, [6 * HOUR], first=2) == ([2], [True])
    assert clock.now == 25 * HOUR


def test_a_tick_between_events_of_one_batch_touches_only_what_follows() -> None:
    times = array([5 * HOUR, 6 * HOUR])
    slots, late = TopicClock().place(times, times, array([0, 2]), [(1, 25 * HOUR)], SLOT)
    assert (slots.tolist(), late.tolist()) == ([0, 2], [False, True])


def test_a_tick_behind_an_event_in_the_log_does_not_touch_it() -> None:
    clock = TopicClock()
    assert place(clock, [5 * HOUR, 6 * HOUR], ticks=[(2, 25 * HOUR)]) == ([0, 0], [False, False])
    assert clock.now == 25 * HOUR


def test_ticks_alone_start_a_clock() -> None:
    clock = TopicClock()
    assert place(clock, [], ticks=[(0, 15 * HOUR), (1, 31 * HOUR)]) == ([], [])
    assert (clock.first, clock.now) == (15 * HOUR, 31 * HOUR)


def test_nothing_leaves_a_clock_unstarted() -> None:
    clock = TopicClock()
    assert place(clock, []) == ([], [])
    assert clock == TopicClock(None, None)


def test_a_clock_never_goes_back() -> None:
    clock = TopicClock()
    place(clock, [50 * HOUR])
    place(clock, [10 * HOUR], ticks=[(2, 5 * HOUR)], first=1)
    assert clock.now == 50 * HOUR


def test_a_device_ahead_of_time_moves_the_clock_by_the_tolerance_only() -> None:
    clock = TopicClock()
    received = array([3 * HOUR])
    slots, late = clock.place(array([23 * HOUR]), received, array([0]), [], SLOT)
    assert clock.now == 3 * HOUR + TOLERANCE
    assert (slots.tolist(), late.tolist()) == ([0], [False])  # it counts in the slot in which it was received


@given(
    moments=st.lists(st.tuples(st.integers(0, 60), st.integers(-30, 24)), min_size=1, max_size=30),
    ticks=st.dictionaries(st.integers(0, 29), st.integers(0, 60), max_size=5),
    cuts=st.sets(st.integers(1, 29)),
)
def test_no_event_is_of_a_later_slot_than_the_clock_after_it(
    moments: list[tuple[int, int]], ticks: dict[int, int], cuts: set[int]
) -> None:
    """Each event one by one, and in any batches: nothing waits for the clock of its own topic."""
    received = array([at * HOUR for at, _ in moments])
    occurred = received + array([ahead * HOUR for _, ahead in moments])
    clock, slots, turns = TopicClock(), [], []
    for number in range(len(moments)):
        marks = [(2 * number + 1, ticks[number] * HOUR)] if number in ticks else []
        one = slice(number, number + 1)
        slot, late = clock.place(occurred[one], received[one], array([2 * number]), [], SLOT)
        assert slot[0] == clock.now // SLOT
        assert late[0] == (occurred[number] // SLOT < slot[0])
        slots += slot.tolist()
        turns += clock.turns
        clock.place(array([]), array([]), array([]), marks, SLOT)
        turns += clock.turns
    whole, parts, told = TopicClock(), [], []
    bounds = [0, *sorted(at for at in cuts if at < len(moments)), len(moments)]
    for start, stop in itertools.pairwise(bounds):
        marks = [(2 * at + 1, time * HOUR) for at, time in sorted(ticks.items()) if start <= at < stop]
        offsets = array([2 * at for at in range(start, stop)])
        parts += whole.place(occurred[start:stop], received[start:stop], offsets, marks, SLOT)[0].tolist()
        told += whole.turns
    assert (parts, told, whole) == (slots, turns, clock)


@given(
    times=st.lists(st.integers(0, 60), min_size=1, max_size=30),
    ticks=st.dictionaries(st.integers(0, 29), st.integers(0, 60), max_size=5),
    cuts=st.sets(st.integers(1, 29)),
)
def test_any_cutting_places_events_alike(times: list[int], ticks: dict[int, int], cuts: set[int]) -> None:
    """Ticks stand at odd offsets, events at even ones."""
    hours = [time * HOUR for time in times]
    marks = [(2 * at + 1, time * HOUR) for at, time in sorted(ticks.items())]
    whole, cut = TopicClock(), TopicClock()
    expected = whole.place(array(hours), array(hours), array([2 * at for at in range(len(hours))]), marks, SLOT)
    pieces = []
    bounds = [0, *sorted(at for at in cuts if at < len(hours)), 30]
    for start, stop in itertools.pairwise(bounds):
        part = hours[start:stop]
        offsets = array([2 * at for at in range(start, start + len(part))])
        own = [(offset, time) for offset, time in marks if 2 * start <= offset < 2 * stop]
        pieces.append(cut.place(array(part), array(part), offsets, own, SLOT))
    assert np.concatenate([slots for slots, _ in pieces]).tolist() == expected[0].tolist()
    assert np.concatenate([late for _, late in pieces]).tolist() == expected[1].tolist()
    assert cut == whole


@given(st.lists(st.integers(0, 60), min_size=1, max_size=30))
def test_placing_is_what_a_loop_over_the_events_does(times: list[int]) -> None:
    slots, late, now = [], [], times[0] * HOUR
    for time in times:
        floor, own = now // SLOT, time * HOUR // SLOT
        slots.append(max(floor, own))
        late.append(own < floor)
        now = max(now, time * HOUR)
    clock = TopicClock()
    assert place(clock, [time * HOUR for time in times]) == (slots, late)
    assert (clock.first, clock.now) == (times[0] * HOUR, now)


def test_a_lane_waits_for_its_last_topic_and_follows_its_slowest() -> None:
    early, ahead, silent = TopicClock(12 * HOUR, 30 * HOUR), TopicClock(25 * HOUR, 90 * HOUR), TopicClock()
    assert lane_start([early, silent], SLOT) is None
    assert lane_clock([early, silent]) is None
    assert lane_start([early, ahead], SLOT) == 1
    assert lane_clock([early, ahead]) == 30 * HOUR
