"""The window of known ids: exact inside it, honest about what lies before it."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.restarting import STEPS, Restarting

from contracts.state import Part
from streams.profiles.known_ids import KnownIds


def admit(known: KnownIds, *ids: int, time: int = 0) -> list[bool]:
    return known.admit(np.array(ids, np.uint64), np.full(len(ids), time)).tolist()


def test_the_first_of_equal_ids_in_one_batch_is_new() -> None:
    assert admit(KnownIds(10), 7, 3, 7, 7, 5, 3) == [True, True, False, False, True, False]


def test_an_id_is_known_in_later_batches() -> None:
    known_ids = KnownIds(10)
    admit(known_ids, 1, 2, 3)
    assert admit(known_ids, 3, 4, 1) == [False, True, False]


def test_nothing_is_new_in_an_empty_batch() -> None:
    assert admit(KnownIds(10)) == []


def test_the_largest_hash_is_an_id_like_others() -> None:
    known_ids = KnownIds(10)
    assert admit(known_ids, 2**64 - 1, 0) == [True, True]
    assert admit(known_ids, 0, 2**64 - 1) == [False, False]


def test_a_generation_that_is_not_full_is_not_rotated() -> None:
    known_ids = KnownIds(3)
    admit(known_ids, 1, 2)
    known_ids.rotate()
    assert len(known_ids.younger) == 2
    assert len(known_ids.older) == 0


def test_ids_are_known_for_at_least_the_capacity_and_then_forgotten() -> None:
    known_ids = KnownIds(2)
    for start in (0, 2, 4):
        admit(known_ids, start, start + 1)
        known_ids.rotate()
    assert admit(known_ids, 4, 5) == [False, False]
    assert admit(known_ids, 2, 3) == [True, True]


def test_memory_is_bounded_when_rotated_at_every_sweep() -> None:
    known_ids = KnownIds(100)
    for start in range(0, 10_000, 50):
        admit(known_ids, *range(start, start + 50))
        known_ids.rotate()
        assert len(known_ids.younger) + len(known_ids.older) <= 200


def test_the_horizon_is_the_newest_time_that_was_forgotten() -> None:
    known_ids = KnownIds(1)
    times = np.array([10, 20, 30, 31])
    assert not known_ids.too_old(times).any()
    for number, time in enumerate((20, 30)):
        admit(known_ids, number, time=time)
        known_ids.rotate()
    assert known_ids.too_old(times).tolist() == [True, True, False, False]  # the generation of time 20 is forgotten


def test_the_horizon_never_goes_back() -> None:
    known_ids = KnownIds(1)
    for number, time in enumerate((50, 5, 6, 7)):
        admit(known_ids, number, time=time)
        known_ids.rotate()
    assert known_ids.horizon == 50


@given(st.lists(st.lists(st.integers(0, 20), max_size=8), max_size=8))
def test_admission_is_that_of_a_set(batches: list[list[int]]) -> None:
    known_ids, known = KnownIds(1_000), set()
    for batch in batches:
        expected = []
        for each in batch:
            expected.append(each not in known)
            known.add(each)
        assert admit(known_ids, *batch) == expected


class Window:
    """A machine with a window of known ids and nothing else."""

    def __init__(self) -> None:
        self.known = KnownIds(3)

    def parts(self) -> dict[str, Part]:
        return {"known": self.known}


@given(
    st.lists(st.tuples(st.lists(st.integers(0, 12), max_size=6), st.integers(0, 9), st.booleans()), max_size=12),
    st.lists(st.integers(0, STEPS - 1), min_size=1, max_size=12),
)
def test_a_window_restored_from_its_changes_goes_on_like_the_original(
    batches: list[tuple[list[int], int, bool]], steps: list[int]
) -> None:
    window, other, turns = Restarting(Window), KnownIds(3), itertools.cycle(steps)
    for ids, time, crossed in batches:
        known = window.machine.known
        assert admit(known, *ids, time=time) == admit(other, *ids, time=time)
        if crossed:
            known.rotate()
            other.rotate()
        window.step(next(turns))
        known = window.machine.known
        assert (known.room(), known.horizon) == (other.room(), other.horizon)
        assert (known.older_newest, known.younger_newest) == (other.older_newest, other.younger_newest)
        assert [len(known.older), len(known.younger)] == [len(other.older), len(other.younger)]


def test_a_window_without_news_has_no_changes() -> None:
    known = KnownIds(3)
    admit(known, 1, 2)
    known.whole()
    admit(known, 1, 2)
    assert known.changes() == {}
    admit(known, 5)
    assert known.changes()["younger"].tolist() == [5]  # type: ignore[union-attr]
    assert known.changes() == {}


def test_ids_with_equal_bits_are_all_kept() -> None:
    ids = [number << 32 for number in range(5_000)]
    known_ids = KnownIds(10_000)
    assert all(admit(known_ids, *ids[:3_000]))
    assert admit(known_ids, *ids) == [False] * 3_000 + [True] * 2_000


def test_there_is_room_as_long_as_no_rotation_can_come() -> None:
    known_ids = KnownIds(5)
    admit(known_ids, 1, 2)
    admit(known_ids, *range(10, 10 + known_ids.room()))
    known_ids.rotate()
    assert len(known_ids.older) == 0
    assert known_ids.room() == 0
