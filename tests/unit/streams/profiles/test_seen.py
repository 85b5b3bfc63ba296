"""The window of known ids: exact inside it, honest about what lies before it."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.profiles.known_ids import SeenIds


def admit(seen: SeenIds, *ids: int, time: int = 0) -> list[bool]:
    return seen.admit(np.array(ids, np.uint64), np.full(len(ids), time)).tolist()


def test_the_first_of_equal_ids_in_one_batch_is_new() -> None:
    assert admit(SeenIds(10), 7, 3, 7, 7, 5, 3) == [True, True, False, False, True, False]


def test_an_id_is_known_in_later_batches() -> None:
    seen = SeenIds(10)
    admit(seen, 1, 2, 3)
    assert admit(seen, 3, 4, 1) == [False, True, False]


def test_nothing_is_new_in_an_empty_batch() -> None:
    assert admit(SeenIds(10)) == []


def test_the_largest_hash_is_an_id_like_others() -> None:
    seen = SeenIds(10)
    assert admit(seen, 2**64 - 1, 0) == [True, True]
    assert admit(seen, 0, 2**64 - 1) == [False, False]


def test_a_generation_that_is_not_full_is_not_rotated() -> None:
    seen = SeenIds(3)
    admit(seen, 1, 2)
    seen.rotate()
    assert len(seen.younger) == 2
    assert len(seen.older) == 0


def test_ids_are_known_for_at_least_the_capacity_and_then_forgotten() -> None:
    seen = SeenIds(2)
    for start in (0, 2, 4):
        admit(seen, start, start + 1)
        seen.rotate()
    assert admit(seen, 4, 5) == [False, False]
    assert admit(seen, 2, 3) == [True, True]


def test_memory_is_bounded_when_rotated_at_every_sweep() -> None:
    seen = SeenIds(100)
    for start in range(0, 10_000, 50):
        admit(seen, *range(start, start + 50))
        seen.rotate()
        assert len(seen.younger) + len(seen.older) <= 200


def test_the_horizon_is_the_newest_time_that_was_forgotten() -> None:
    seen = SeenIds(1)
    times = np.array([10, 20, 30, 31])
    assert not seen.too_old(times).any()
    for number, time in enumerate((20, 30)):
        admit(seen, number, time=time)
        seen.rotate()
    assert seen.too_old(times).tolist() == [True, True, False, False]  # the generation of time 20 is forgotten


def test_the_horizon_never_goes_back() -> None:
    seen = SeenIds(1)
    for number, time in enumerate((50, 5, 6, 7)):
        admit(seen, number, time=time)
        seen.rotate()
    assert seen.horizon == 50


@given(st.lists(st.lists(st.integers(0, 20), max_size=8), max_size=8))
def test_admission_is_that_of_a_set(batches: list[list[int]]) -> None:
    seen, known = SeenIds(1_000), set()
    for batch in batches:
        expected = []
        for each in batch:
            expected.append(each not in known)
            known.add(each)
        assert admit(seen, *batch) == expected
