"""A bucket as a state machine: its sweeps are a function of the log, and what is published at the end is too."""

import pickle
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.columns import (
    DAY,
    HOUR,
    TOPICS,
    Happening,
    columns,
    happenings,
    interleave,
    topic_of,
)

from contracts.blocks import BucketBatch, CustomerBlock, SweepBlock
from streams import codes
from streams.profiles.bucket import VERSION_SHIFT, BucketPolicy, ProfileBlock, Tally
from streams.read.clock import TopicClock
from streams.profiles.customers import CATCH_UP_SWEEPS, CustomersState, Input, Output, advance, new_bucket
from streams.identity.handover import nothing_handed
from streams.publish.hashes import profile_hashes

POLICY = BucketPolicy(
    interval=DAY,
    dormant_after=5 * DAY,
    training_stride=2,
    counters=("orders",),
    seen_capacity=1_000,
    longest_window=3 * DAY,
)
DAYS = 8
END = (DAYS + 3) * DAY


def batch(happened: Sequence[Happening] = (), *, clock: int | None, fresh: bool = False) -> BucketBatch:
    customers, events = columns(happened)
    return BucketBatch(3, events, customers, clock, fresh)


@dataclass
class Bucket:
    """A bucket with what it has done so far."""

    state: CustomersState
    tally: Tally
    policy: BucketPolicy = POLICY

    def take(self, *happened: Happening, clock: int | None, start: int = 0, fresh: bool = False) -> list[Output]:
        """Take a batch in, after word that no visitor is handed over up to its clock."""
        items: list[Input] = [batch(happened, clock=clock, fresh=fresh)]
        if clock is not None:
            items.insert(0, nothing_handed(3, clock // DAY, start))
        return [output for item in items for output in advance(self.state, item, self.policy, self.tally)]


@pytest.fixture
def bucket() -> Bucket:
    return Bucket(new_bucket(3, POLICY), Tally())


def sweeps(outputs: Iterable[Output]) -> list[SweepBlock]:
    return [output for output in outputs if isinstance(output, SweepBlock)]


def blocks(outputs: Iterable[Output]) -> list[CustomerBlock]:
    return [output for output in outputs if isinstance(output, CustomerBlock)]


def names(block: CustomerBlock) -> set[str]:
    return set(block.ids.tolist())


# Sweeps


def test_without_a_clock_events_wait(bucket: Bucket) -> None:
    assert bucket.take(Happening("a", 0), clock=None) == []
    assert bucket.state.slot is None
    bucket.take(clock=DAY)
    assert bucket.state.table.ids == ["a"]


def test_the_clock_starts_with_an_empty_sweep(bucket: Bucket) -> None:
    (first,) = sweeps(bucket.take(clock=2 * DAY + HOUR, start=2))
    assert (first.customers.boundary, len(first.customers.ids)) == (2, 0)


def test_every_boundary_is_swept_once_also_in_silence(bucket: Bucket) -> None:
    bucket.take(Happening("a", 0), clock=HOUR)
    swept = sweeps(bucket.take(clock=3 * DAY)) + sweeps(bucket.take(clock=3 * DAY + HOUR))
    assert [each.customers.boundary for each in swept] == [1, 2, 3]
    assert [names(each.customers) for each in swept] == [{"a"}] * 3


def test_years_without_customers_are_told_in_one_sweep(bucket: Bucket) -> None:
    """An event dated 1970 must not cost every bucket a sweep for each day since."""
    bucket.take(clock=0)
    (last,) = sweeps(bucket.take(Happening("a", 20_000 * DAY), clock=20_000 * DAY + HOUR))
    assert (last.customers.boundary, names(last.customers)) == (20_000, set())


def test_years_in_which_all_are_dormant_are_told_in_one_sweep_too(bucket: Bucket) -> None:
    bucket.take(Happening("a", HOUR), clock=HOUR)
    outputs = bucket.take(clock=20_000 * DAY)
    assert [each.customers.boundary for each in sweeps(outputs)] == [1, 2, 3, 4, 5, 6, 20_000]
    (farewell,) = blocks(outputs)
    assert (names(farewell), farewell.boundary) == ({"a"}, 5)
    bucket.take(Happening("a", 20_000 * DAY + HOUR), clock=20_000 * DAY + HOUR)
    assert names(sweeps(bucket.take(clock=20_001 * DAY))[0].customers) == {"a"}


def test_an_event_of_a_later_slot_waits_until_its_slot_has_come(bucket: Bucket) -> None:
    """The other topic is still in day 0 when a's order of day 1 is read: boundary 1 must not know of it."""
    bucket.take(Happening("a", 30 * HOUR), Happening("b", HOUR), clock=2 * HOUR)
    assert bucket.state.table.ids == ["b"]
    first, second = sweeps(bucket.take(clock=2 * DAY))
    assert names(first.customers) == {"b"}
    assert names(second.customers) == {"a", "b"}
    assert bucket.state.waiting == {}


def test_counters_and_rows_are_those_of_the_whole_table(bucket: Bucket) -> None:
    bucket.take(*[Happening(one, HOUR) for one in "abba"], Happening("c", HOUR, codes.PAGE_VIEW), clock=HOUR)
    (swept,) = sweeps(bucket.take(clock=DAY))
    counts = dict(zip(swept.customers.ids, swept.counters["orders"][swept.rows], strict=True))
    assert counts == {"a": 2, "b": 2, "c": 0}
    assert dict(zip(swept.customers.ids, swept.customers.buyers, strict=True)) == {"a": True, "b": True, "c": False}


def test_training_takes_each_customer_every_other_sweep_and_only_those_who_will_be_there_at_the_end(
    bucket: Bucket,
) -> None:
    bucket.take(*[Happening(f"c{number}", HOUR) for number in range(50)], clock=HOUR)
    swept = sweeps(bucket.take(clock=4 * DAY))
    turns = [set(each.customers.ids[each.trainable].tolist()) for each in swept]
    assert turns[0] | turns[1] == names(swept[0].customers)
    assert not turns[0] & turns[1]
    # Dormancy comes on day 5 after the last event; a window of 3 days that begins on day 3 would end after that.
    assert turns[2:] == [set(), set()]


# Versions


def test_versions_grow_with_every_event_and_every_sweep(bucket: Bucket) -> None:
    outputs = bucket.take(Happening("a", HOUR), clock=HOUR, fresh=True)
    outputs += bucket.take(Happening("a", 2 * HOUR), clock=2 * HOUR, fresh=True)
    outputs += bucket.take(clock=DAY, fresh=True)
    outputs += bucket.take(Happening("a", DAY + HOUR), clock=DAY + HOUR, fresh=True)
    versions = [int(block.versions[0]) for block in blocks(outputs) if len(block.ids)]
    assert versions == sorted(set(versions))
    assert versions[-1] == (1 << VERSION_SHIFT) + 3


def test_a_published_profile_wins_against_one_of_an_earlier_day_with_more_events(bucket: Bucket) -> None:
    """After a rebuild from what is left of the log, fewer events are known of a customer."""
    before = bucket.take(*[Happening("a", hour * HOUR) for hour in range(9)], clock=HOUR, fresh=True)
    rebuilt = Bucket(new_bucket(3, POLICY), Tally())
    after = rebuilt.take(Happening("a", 2 * DAY), clock=2 * DAY + HOUR, fresh=True)
    old, new = (
        next(int(each.versions[0]) for each in outputs if isinstance(each, ProfileBlock) and each.published)
        for outputs in (before, after)
    )
    assert new > old


# Live scores


def test_live_blocks_hold_whom_events_moved_as_of_their_newest_event(bucket: Bucket) -> None:
    bucket.take(Happening("a", HOUR), Happening("b", HOUR), clock=2 * HOUR, fresh=True)
    moved = Happening("a", 3 * HOUR, entered=7_000), Happening("a", 4 * HOUR, entered=9_000)
    (live,) = blocks(bucket.take(*moved, clock=4 * HOUR, fresh=True))
    assert not live.sweep
    assert not live.recorded
    assert live.ids.tolist() == ["a"]
    assert live.as_of.tolist() == [4 * HOUR]
    assert live.oldest_record_at == 7.0
    assert live.boundary == 0


def test_in_a_catch_up_nothing_is_live_and_the_first_fresh_batch_tells_all(bucket: Bucket) -> None:
    assert blocks(bucket.take(Happening("a", HOUR), clock=HOUR)) == []
    assert blocks(bucket.take(Happening("b", 2 * HOUR), clock=2 * HOUR)) == []
    (live,) = blocks(bucket.take(clock=2 * HOUR, fresh=True))
    assert names(live) == {"a", "b"}
    assert blocks(bucket.take(clock=2 * HOUR, fresh=True)) == []


# Publishing


def test_a_catch_up_publishes_only_the_newest_sweep(bucket: Bucket) -> None:
    bucket.take(Happening("a", HOUR), clock=HOUR)
    assert blocks(bucket.take(clock=2 * DAY)) == []
    (published,) = blocks(bucket.take(clock=3 * DAY, fresh=True))
    assert published.sweep
    assert not published.recorded
    assert published.boundary == 3
    assert bucket.state.held is None


def test_a_long_catch_up_publishes_now_and_then() -> None:
    bucket = Bucket(new_bucket(3, POLICY), Tally(), replace(POLICY, dormant_after=1_000 * DAY))
    bucket.take(Happening("a", HOUR), clock=HOUR)
    published = blocks(bucket.take(clock=2 * CATCH_UP_SWEEPS * DAY))
    assert [block.boundary for block in published] == [CATCH_UP_SWEEPS, 2 * CATCH_UP_SWEEPS]


def test_who_becomes_dormant_is_published_a_last_time_and_swept_no_more(bucket: Bucket) -> None:
    bucket.take(Happening("a", HOUR), Happening("b", 4 * DAY), clock=4 * DAY)
    outputs = bucket.take(clock=7 * DAY)
    assert [names(each.customers) for each in sweeps(outputs)] == [{"a", "b"}, {"b"}, {"b"}]
    (farewell,) = blocks(outputs)
    assert (names(farewell), farewell.boundary) == ({"a"}, 5)
    # before the sweep of boundary 6, with which the models may move on
    assert outputs.index(farewell) < outputs.index(sweeps(outputs)[1])


def test_who_comes_back_is_swept_again(bucket: Bucket) -> None:
    bucket.take(Happening("a", HOUR), clock=8 * DAY)
    bucket.take(Happening("a", 8 * DAY + HOUR), clock=8 * DAY + HOUR)
    assert names(sweeps(bucket.take(clock=9 * DAY))[0].customers) == {"a"}


def test_profiles_are_recorded_when_touched_and_published_when_fresh(bucket: Bucket) -> None:
    outputs = bucket.take(Happening("a", HOUR), clock=DAY)
    (recorded,) = [each for each in outputs if isinstance(each, ProfileBlock)]
    assert (recorded.ids.tolist(), recorded.published) == (["a"], False)
    profiles = [each for each in bucket.take(clock=DAY, fresh=True) if isinstance(each, ProfileBlock)]
    assert [(each.ids.tolist(), each.published) for each in profiles] == [(["a"], True)]
    assert not [each for each in bucket.take(clock=DAY, fresh=True) if isinstance(each, ProfileBlock)]


# Late, too late, twice


def test_a_late_event_counts_in_the_next_sweep_and_is_counted(bucket: Bucket) -> None:
    bucket.take(Happening("b", HOUR), clock=DAY + HOUR)
    bucket.take(Happening("a", 2 * HOUR, slot=1, late=True), clock=DAY + HOUR)
    (second,) = sweeps(bucket.take(clock=2 * DAY))
    assert names(second.customers) == {"a", "b"}
    assert bucket.tally == Tally(late=1)


def test_a_duplicate_is_counted_and_changes_nothing(bucket: Bucket) -> None:
    bucket.take(Happening("a", HOUR, id=1), Happening("a", HOUR, id=1), clock=HOUR)
    bucket.take(Happening("a", HOUR, id=1), clock=2 * HOUR)
    assert bucket.state.table.used["orders"].tolist() == [1]
    assert bucket.tally == Tally(duplicates=2)


def test_what_is_older_than_the_window_of_ids_is_not_counted_in_profiles() -> None:
    bucket = Bucket(new_bucket(3, replace(POLICY, seen_capacity=1)), Tally(), replace(POLICY, seen_capacity=1))
    for day in range(3):
        bucket.take(Happening("a", day * DAY + HOUR, id=day), clock=(day + 1) * DAY)
    bucket.take(Happening("a", 0, id=77, slot=3, late=True), clock=3 * DAY)
    assert bucket.state.table.used["orders"].tolist() == [3]
    assert bucket.tally == Tally(late=1, too_late=1)


# Laws


@dataclass
class Feed:
    """A lane's log: events by topic with the clocks that the log gives them, cut into batches."""

    events: list[Happening]
    fresh: list[bool]
    cuts: set[int]

    def batches(self) -> list[BucketBatch]:
        """Ticks stand at both ends of every topic, so that the lane's clock runs from day 0 to the end."""
        clocks = [TopicClock() for _ in TOPICS]
        for clock in clocks:
            _place(clock, [], tick=0)
        made, part = [], []
        for position, event in enumerate(self.events, 1):
            slot, late = _place(clocks[topic_of(event)], [event.occurred])
            part.append(replace(event, slot=slot, late=late))
            if position in self.cuts:
                made.append(self._batch(part, clocks, len(made)))
                part = []
        for clock in clocks:
            _place(clock, [], tick=END)
        return [*made, replace(self._batch(part, clocks, len(made)), fresh=True)]

    def items(self) -> Iterator[Input]:
        """The batches, with word from visitors' buckets, which lags behind wherever a batch is not fresh."""
        told = 0
        for one in self.batches():
            yield one
            if one.fresh and one.clock is not None:
                told = one.clock // DAY
            yield nothing_handed(3, told)

    def _batch(self, part: list[Happening], clocks: list[TopicClock], number: int) -> BucketBatch:
        now = min(clock.now for clock in clocks if clock.now is not None)
        return batch(part, clock=now, fresh=self.fresh[number % len(self.fresh)])


def _place(clock: TopicClock, times: list[int], tick: int | None = None) -> tuple[int, bool]:
    moments, ticks = np.array(times, np.int64), [] if tick is None else [(1, tick)]
    slot, late = clock.place(moments, moments, np.zeros(len(times), np.int64), ticks, DAY)
    return (int(slot[0]), bool(late[0])) if times else (0, False)


def run(feed: Feed, policy: BucketPolicy, *, pickled: bool = False) -> tuple[list[Output], Tally]:
    state, tally, outputs = new_bucket(3, policy), Tally(), []
    for one in feed.items():
        outputs += advance(state, one, policy, tally)
        if pickled:
            state = pickle.loads(pickle.dumps(state))
    return outputs, tally


def told(outputs: list[Output]) -> list[object]:
    """Everything that sweeps say, to the last bit and without the places of rows, which are nobody's business."""
    return [
        (
            swept.customers.boundary,
            swept.customers.ids.tolist(),
            swept.customers.versions.tolist(),
            swept.customers.features.tobytes(),
            swept.customers.lifecycle.tolist(),
            swept.customers.segment.tolist(),
            swept.customers.farewell.tolist(),
            swept.trainable.tolist(),
            {name: counter[swept.rows].tolist() for name, counter in swept.counters.items()},
        )
        for swept in sweeps(outputs)
    ]


def looked_up(outputs: list[Output]) -> dict[str, object]:
    """What readers find in the end: of each customer the newest version, as a store that guards by it keeps it."""
    kept: dict[str, tuple[int, object]] = {}
    for block in blocks(outputs):
        rows = zip(block.ids, block.versions.tolist(), block.features, block.as_of.tolist(), strict=True)
        for customer, version, features, as_of in rows:
            if version >= kept.get(customer, (-1, None))[0]:
                kept[customer] = (version, (features.tobytes(), as_of, block.boundary))
    return dict(kept)


def profiles(outputs: list[Output]) -> dict[str, object]:
    """The profile of each customer that readers find in the end."""
    kept: dict[str, object] = {}
    for block in outputs:
        if isinstance(block, ProfileBlock) and block.published:
            hashes = profile_hashes(block, "EUR", 60)
            for at, customer in enumerate(hashes.ids):
                kept[customer] = {name: column[at] for name, column in hashes.columns.items()}
    return kept


@given(
    events=happenings(DAYS),
    duplicated=st.lists(st.integers(0, 39), max_size=6),
    draws=st.lists(st.integers(0, 3), max_size=46),
    cuts=st.sets(st.integers(1, 46)),
    fresh=st.lists(st.booleans(), min_size=1, max_size=5),
    capacity=st.sampled_from([2, 1_000]),
)
def test_sweeps_and_what_is_looked_up_are_a_function_of_the_log(
    events: list[Happening],
    duplicated: list[int],
    draws: list[int],
    cuts: set[int],
    fresh: list[bool],
    capacity: int,
) -> None:
    log = [replace(event, id=position) for position, event in enumerate(events)]
    log += [log[position] for position in duplicated if position < len(log)]
    policy = replace(POLICY, seen_capacity=capacity)
    whole, tally = run(Feed(log, [False], set()), policy)
    other, other_tally = run(Feed(interleave(log, draws), fresh, cuts), policy, pickled=True)
    assert told(other) == told(whole)
    assert looked_up(other) == looked_up(whole)
    assert profiles(other) == profiles(whole)
    assert other_tally == tally
