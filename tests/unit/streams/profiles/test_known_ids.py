"""The window of known ids: exact inside it, honest about what lies before it, and bounded."""

from collections.abc import Iterable, Sequence
from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.restarting import STEPS, Restarting

from contracts.state import Part
from streams.profiles.known_ids import KnownIds

SECOND = 1_000_000
Event = tuple[int, int]
"""An id and a second."""


def admit(known: KnownIds, *ids: int, second: int = 0) -> list[bool]:
    return known.admit(np.array(ids, np.uint64), np.full(len(ids), second * SECOND)).tolist()


def counted(known: KnownIds, events: Sequence[Event]) -> list[bool]:
    """Admit a batch; return which events count."""
    times = np.array([second * SECOND for _, second in events], np.int64)
    new = known.admit(np.array([number for number, _ in events], np.uint64), times)
    return (new & ~known.too_old(times)).tolist()


def test_the_first_of_equal_ids_in_one_batch_is_new() -> None:
    assert admit(KnownIds(10), 7, 3, 7, 7, 5, 3) == [True, True, False, False, True, False]


def test_an_id_is_known_in_later_batches() -> None:
    known = KnownIds(10)
    admit(known, 1, 2, 3)
    assert admit(known, 3, 4, 1) == [False, True, False]


def test_nothing_is_new_in_an_empty_batch() -> None:
    assert admit(KnownIds(10)) == []


def test_the_largest_hash_is_an_id_like_others() -> None:
    known = KnownIds(10)
    assert admit(known, 2**64 - 1, 0) == [True, True]
    assert admit(known, 0, 2**64 - 1) == [False, False]


def test_an_id_is_known_whatever_the_time_of_its_copy() -> None:
    known = KnownIds(10)
    admit(known, 1, second=100)
    assert [admit(known, 1, second=second) for second in (5, 100, 900)] == [[False]] * 3


def test_a_window_that_is_not_full_forgets_nothing() -> None:
    known = KnownIds(4)
    admit(known, 1, 2, second=1)
    admit(known, 3, 4, 5, second=2)
    known.forget()
    assert len(known) == 5


def test_a_full_window_keeps_the_newest_by_time_in_whatever_order_they_came() -> None:
    known = KnownIds(2)
    for number, second in enumerate((40, 10, 30, 20)):
        admit(known, number, second=second)
    known.forget()
    assert len(known) == 2
    assert counted(known, [(0, 40), (2, 30)]) == [False, False]
    assert counted(known, [(9, 20), (9, 21), (8, 30)]) == [False, True, True]


def test_an_event_from_the_future_does_not_move_the_horizon() -> None:
    """The newest id stays, so its time refuses no others."""
    known = KnownIds(2)
    for number, second in enumerate((90_000, 10, 11, 12)):
        admit(known, number, second=second)
    known.forget()
    assert counted(known, [(7, 11), (8, 13)]) == [False, True]


def test_the_horizon_is_the_end_of_the_newest_forgotten_second() -> None:
    known = KnownIds(1)
    assert not known.too_old(np.array([0, 10])).any()
    for number, second in enumerate((20, 35)):
        admit(known, number, second=second)
    known.forget()
    times = np.array([0, 20 * SECOND, 21 * SECOND - 1, 21 * SECOND, 30 * SECOND])
    assert known.too_old(times).tolist() == [True, True, True, False, False]


def test_ids_of_one_second_stay_together() -> None:
    """Files with dates only give a day's events one time."""
    known = KnownIds(2)
    admit(known, 1, second=4)
    admit(known, *range(10, 20), second=5)
    known.forget()
    assert len(known) == 10
    assert admit(known, *range(10, 20), second=5) == [False] * 10


def test_a_second_that_fills_the_window_is_not_looked_through_at_every_boundary() -> None:
    known = KnownIds(4)
    admit(known, *range(10), second=5)
    known.forget()
    assert known.room() == 1
    admit(known, 11, second=6)
    known.forget()
    assert len(known) == 11
    admit(known, 12, 13, 14, second=7)
    known.forget()
    assert len(known) == 4


def test_a_forgotten_id_that_comes_again_later_is_new_and_then_known() -> None:
    known = KnownIds(2)
    admit(known, *range(10), second=5)
    admit(known, 20, 21, second=6)
    known.forget()
    assert counted(known, [(3, 7), (3, 7), (3, 8)]) == [True, False, False]
    assert len(known) == 3


def test_forgotten_ids_make_room_for_others() -> None:
    known = KnownIds(1_000)
    for second in range(100):
        admit(known, *range(500 * second, 500 * second + 500), second=second)
        known.forget()
    assert len(known) < 1_600
    assert len(known._ids._places) <= 6_000


def test_there_is_room_as_long_as_no_boundary_can_forget() -> None:
    known = KnownIds(5)
    admit(known, 1, 2, second=1)
    admit(known, *range(10, 10 + known.room()), second=2)
    known.forget()
    assert known.room() == 0
    assert len(known) == 7
    admit(known, 100, second=3)
    known.forget()
    assert len(known) == 6  # those of second 2 and 3
    assert counted(known, [(3, 1)]) == [False]


def test_a_slot_without_end_is_bounded() -> None:
    known = KnownIds(100)
    for number in range(10_000):
        admit(known, number, second=number)
        assert len(known) <= 200
    assert admit(known, *range(9_900, 10_000), second=9_999) == [False] * 100


def test_within_a_slot_events_of_the_newest_one_and_a_half_windows_always_count() -> None:
    """A lane that is behind others by less than that loses nothing."""
    known = KnownIds(100)
    for number in range(200, 10_000, 10):
        ahead = [(each, each) for each in range(number, number + 10)]
        assert all(counted(known, ahead))
        behind = [(20_000 + each, each - 135) for each in range(number, number + 10)]
        assert all(counted(known, behind))


def test_times_at_the_ends_of_the_range_are_taken() -> None:
    known = KnownIds(1)
    assert known.admit(np.array([1, 2, 3], np.uint64), np.array([0, 2**62, 2**53])).all()
    known.forget()
    assert len(known) == 2


@given(st.lists(st.lists(st.integers(0, 20), max_size=8), max_size=8))
def test_admission_is_that_of_a_set(batches: list[list[int]]) -> None:
    known, seen = KnownIds(1_000), set()
    for batch in batches:
        expected = []
        for each in batch:
            expected.append(each not in seen)
            seen.add(each)
        assert admit(known, *batch) == expected


def second_of(number: int) -> int:
    """The time of an id: copies of an event have the same one."""
    return number * 7 % 41


slots = st.lists(st.lists(st.lists(st.integers(0, 60), max_size=7), max_size=4), max_size=8)
"""Ids of events by slot and batch."""


@given(slots, st.integers(1, 4))
def test_no_event_counts_twice_and_none_is_refused_that_is_among_the_newest(
    log: list[list[list[int]]], capacity: int
) -> None:
    known = KnownIds(capacity)
    seen: set[int] = set()
    for slot in log:
        for batch in slot:
            before = set(seen)
            for number, counts in zip(batch, counted(known, [(each, second_of(each)) for each in batch]), strict=True):
                assert not (counts and number in seen)
                if not counts and number not in seen:
                    assert sum(second_of(each) > second_of(number) for each in before) >= capacity
                if counts:
                    seen.add(number)
        known.forget()


@given(slots, st.integers(1, 4), st.randoms(use_true_random=False))
def test_what_counts_follows_from_the_log_if_slots_fit(
    log: list[list[list[int]]], capacity: int, random: Random
) -> None:
    """In any order within a slot, cut in any way: half a window of new ids fits after what a boundary left."""
    one, other, seen = KnownIds(capacity), KnownIds(capacity), set[int]()
    for slot in log:
        events = list(dict.fromkeys(number for batch in slot for number in batch))
        fresh = [number for number in events if number not in seen][: -(-capacity // 2)]
        events = [number for number in events if number in seen or number in fresh]
        seen |= set(events)
        mixed = events + events[: len(events) // 2]
        random.shuffle(mixed)
        cut = random.randint(0, len(mixed))
        expected = found(one, events)
        assert found(other, mixed[:cut]) | found(other, mixed[cut:]) == expected
        one.forget()
        other.forget()
        assert (len(one), one.horizon, one.room()) == (len(other), other.horizon, other.room())


def found(known: KnownIds, ids: Sequence[int]) -> set[int]:
    """The ids that count."""
    counts = counted(known, [(number, second_of(number)) for number in ids])
    return {number for number, each in zip(ids, counts, strict=True) if each}


class Window:
    """A machine with a window of known ids and nothing else."""

    def __init__(self) -> None:
        self.known = KnownIds(3)

    def parts(self) -> dict[str, Part]:
        return {"known": self.known}


@given(
    st.lists(
        st.tuples(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 9)), max_size=9), st.booleans()), max_size=16
    ),
    st.lists(st.integers(0, STEPS - 1), min_size=16, max_size=16),
)
def test_a_window_restored_from_its_changes_goes_on_like_the_original(
    batches: list[tuple[list[Event], bool]], steps: list[int]
) -> None:
    """Copies have other times here, so that an id may be forgotten and come again."""
    window, other = Restarting(Window), KnownIds(3)
    for (events, crossed), step in zip(batches, steps, strict=False):
        known = window.machine.known
        assert counted(known, events) == counted(other, events)
        if crossed:
            known.forget()
            other.forget()
        window.step(step)
        assert state_of(window.machine.known) == state_of(other)


def state_of(known: KnownIds) -> tuple[object, ...]:
    kept, columns = known._ids._kept(), (known._ids._places, known._ids._seconds)
    held: Iterable[Event] = zip(*(column[kept].tolist() for column in columns), strict=True)
    return sorted(held), known.horizon, known.room(), len(known)


def test_a_window_without_news_has_no_changes() -> None:
    known = KnownIds(3)
    admit(known, 1, 2)
    known.whole()
    known.changes()
    admit(known, 1, 2)
    assert known.changes() == {}
    admit(known, 5, second=8)
    changes = {name: np.asarray(column).tolist() for name, column in known.changes().items()}
    assert changes == {"hashes": [5], "seconds": [8]}
    assert known.changes() == {}


def test_an_id_that_came_and_was_forgotten_is_not_stored() -> None:
    known = KnownIds(1)
    admit(known, 1, second=1)
    admit(known, 2, second=2)
    known.forget()
    assert np.asarray(known.changes()["hashes"]).tolist() == [2]


def test_ids_with_equal_bits_are_all_kept() -> None:
    ids = [number << 32 for number in range(5_000)]
    known = KnownIds(10_000)
    assert all(admit(known, *ids[:3_000]))
    assert admit(known, *ids) == [False] * 3_000 + [True] * 2_000


def test_forgetting_frees_memory() -> None:
    known = KnownIds(1_000)
    for number in range(0, 300_000, 10_000):
        admit(known, *range(number, number + 10_000), second=number)
    known.forget()
    assert len(known) == 10_000
    assert len(known._ids._places) <= 4 * 10_000 * 2
