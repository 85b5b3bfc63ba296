"""The rules of reading a lane: who may be read next, how much at a time, and the slot that devices know."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.columns import DAY, HOUR

from streams.read.clock import TopicClock
from streams.read.lane import FIRST_BATCH, MOST_BOUNDARIES, SMALLEST_BATCH, LanePolicy, LaneState, TopicPosition

POLICY = LanePolicy(step=7 * DAY, epoch_allowance=90 * DAY, max_batch=5_000)


def position(now: int | None, *, read_all: bool = False, first: int | None = None) -> TopicPosition:
    """A topic whose clock stands at ``now``, with more to read or without."""
    start = now if first is None else first
    return TopicPosition(offset=10, clock=TopicClock(start, now), end=10 if read_all else None)


def lane(**topics: TopicPosition) -> LaneState:
    return LaneState("cluster", topics)


# Who may be read


def test_the_topic_furthest_behind_is_read_first() -> None:
    state = lane(a=position(5 * DAY), b=position(2 * DAY), c=position(3 * DAY), d=position(5 * DAY))
    assert state.readable(POLICY) == ["b", "c", "a", "d"]


def test_topics_without_a_record_are_read_before_all_others() -> None:
    assert lane(a=position(0), b=position(None), c=position(None)).readable(POLICY) == ["b", "c"]


def test_a_topic_a_step_ahead_waits_for_those_that_have_more_to_read() -> None:
    state = lane(a=position(20 * DAY), b=position(27 * DAY), c=position(27 * DAY + 1))
    assert state.readable(POLICY) == ["a", "b"]


def test_a_topic_that_has_been_read_to_its_end_holds_nobody_back() -> None:
    state = lane(a=position(20 * DAY, read_all=True), b=position(50 * DAY), c=position(None, read_all=True))
    assert state.readable(POLICY) == ["c", "a", "b"]


def test_when_everything_is_read_all_topics_may_be_asked_for_more() -> None:
    state = lane(a=position(20 * DAY, read_all=True), b=position(5_000 * DAY, read_all=True))
    assert state.at_end
    assert state.readable(POLICY) == ["a", "b"]


def test_more_in_the_log_than_was_read_is_not_the_end() -> None:
    known_to_hold_more = TopicPosition(offset=10, end=11)
    assert not lane(a=known_to_hold_more, b=position(0, read_all=True)).at_end


def test_an_epoch_has_an_allowance_of_event_time() -> None:
    """The epoch began with the lane's clock on day 10, so nobody is read past day 100."""
    state = lane(a=position(10 * DAY), b=position(12 * DAY))
    state.new_epoch()
    state.topics = {"a": position(99 * DAY), "b": position(100 * DAY), "c": position(100 * DAY + 1)}
    assert state.readable(POLICY) == ["a", "b"]
    state.new_epoch()
    assert state.readable(POLICY) == ["a", "b", "c"]


def test_an_epoch_that_begins_before_the_clock_has_no_bound() -> None:
    state = lane(a=position(None), b=position(5 * DAY))
    state.new_epoch()
    assert state.epoch_started_at is None
    state.topics["a"] = position(400 * DAY)
    state.topics["b"] = position(400 * DAY)
    assert state.readable(POLICY) == ["a", "b"]


@given(st.lists(st.tuples(st.none() | st.integers(0, 100), st.booleans()), min_size=1, max_size=4))
def test_there_is_always_somebody_to_read(topics: list[tuple[int | None, bool]]) -> None:
    state = lane(**{
        f"t{number}": position(None if days is None else days * DAY, read_all=read_all)
        for number, (days, read_all) in enumerate(topics)
    })  # fmt: skip
    readable = state.readable(POLICY)
    assert readable
    behind = [name for name, each in state.topics.items() if not each.at_end]
    assert not behind or any(name in behind for name in readable)


# How much


def test_full_batches_that_are_short_in_time_are_doubled_up_to_a_bound() -> None:
    topic = position(0)
    sizes = []
    for _ in range(5):
        topic.resize(moved=DAY, read=topic.batch, policy=POLICY)
        sizes.append(topic.batch)
    assert sizes == [1_000, 2_000, 4_000, 5_000, 5_000]


def test_a_batch_that_was_not_full_or_spans_half_a_step_is_left_as_it_is() -> None:
    topic = position(0)
    topic.resize(moved=DAY, read=FIRST_BATCH - 1, policy=POLICY)
    topic.resize(moved=POLICY.step // 2, read=FIRST_BATCH, policy=POLICY)
    topic.resize(moved=POLICY.step, read=FIRST_BATCH, policy=POLICY)
    assert topic.batch == FIRST_BATCH


@pytest.mark.parametrize(("steps", "batch"), [(2, 250), (4, 125), (1_000, 125)])
def test_a_batch_that_spans_more_than_a_step_is_cut_to_a_quarter_at_most(steps: int, batch: int) -> None:
    topic = position(0)
    topic.resize(moved=steps * POLICY.step, read=100, policy=POLICY)
    assert topic.batch == batch


@given(
    moves=st.lists(st.tuples(st.integers(0, 1_000 * DAY), st.integers(0, 6_000)), max_size=20),
    most=st.one_of(st.integers(1, 2 * SMALLEST_BATCH), st.integers(1, 5_000)),
)
def test_the_size_of_a_batch_stays_in_its_bounds(moves: list[tuple[int, int]], most: int) -> None:
    policy, topic = LanePolicy(7 * DAY, 90 * DAY, most), TopicPosition(batch=min(FIRST_BATCH, most))
    for moved, read in moves:
        topic.resize(moved, read, policy)
        assert min(SMALLEST_BATCH, most) <= topic.batch <= most


# The slot that the devices step knows


def test_there_is_no_slot_before_every_topic_has_had_a_record() -> None:
    state = lane(a=position(5 * DAY), b=position(None))
    assert (state.advance(DAY), state.clock, state.start(DAY)) == (None, None, None)
    assert not state.is_behind(DAY)


def test_the_slot_follows_the_clock_while_it_goes_slowly() -> None:
    state = lane(a=position(5 * DAY + HOUR), b=position(9 * DAY))
    assert state.advance(DAY) == 5
    state.topics["a"] = position(8 * DAY, first=5 * DAY)
    assert state.is_behind(DAY)
    assert state.advance(DAY) == 8
    assert not state.is_behind(DAY)


def test_a_jump_is_announced_in_parts() -> None:
    state = lane(a=position(0))
    state.advance(DAY)
    state.topics["a"] = position((2 * MOST_BOUNDARIES + 5) * DAY + HOUR, first=0)
    parts = [MOST_BOUNDARIES, 2 * MOST_BOUNDARIES, 2 * MOST_BOUNDARIES + 5, 2 * MOST_BOUNDARIES + 5]
    assert [state.advance(DAY) for _ in range(4)] == parts


def test_a_lane_that_starts_with_a_jump_counts_from_its_first_slot() -> None:
    state = lane(a=position((MOST_BOUNDARIES + 40) * DAY, first=3 * DAY + HOUR))
    assert state.start(DAY) == 3
    assert state.advance(DAY) == 3 + MOST_BOUNDARIES
    assert state.is_behind(DAY)


@given(
    jumps=st.lists(st.integers(0, 200 * 24), min_size=1, max_size=5),
    interval=st.sampled_from([HOUR, DAY, 31 * DAY]),
)
def test_the_slot_never_goes_back_or_too_far_and_catches_up(jumps: list[int], interval: int) -> None:
    topic = position(7 * HOUR)
    state = lane(a=topic)
    before = 7 * HOUR // interval
    for hours in jumps:
        topic.clock.now = (topic.clock.now or 0) + hours * HOUR
        while state.is_behind(interval):
            slot = state.advance(interval)
            assert slot is not None
            assert before <= slot <= topic.clock.now // interval
            assert slot == topic.clock.now // interval or slot - before == MOST_BOUNDARIES
            before = slot
        assert state.slot == topic.clock.now // interval


def test_a_lane_follows_its_slowest_topic_and_starts_with_its_first_event() -> None:
    state = lane(a=position(50 * DAY, first=8 * DAY), b=position(40 * DAY, first=12 * DAY))
    assert (state.clock, state.start(DAY)) == (40 * DAY, 8)


def test_a_copy_does_not_follow() -> None:
    state = LaneState("cluster", {"a": TopicPosition(3, TopicClock(1, 5), end=9)}, slot=2)
    copy = state.copy()
    assert copy == state
    state.topics["a"].offset, state.topics["a"].clock.now, state.slot = 4, 6, 3
    assert copy == LaneState("cluster", {"a": TopicPosition(3, TopicClock(1, 5), end=9)}, slot=2)
