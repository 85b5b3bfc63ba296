"""A hash that is added or looked for alone finds the same place as among others."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from contracts.open_addressing import SMALLEST, probe
from streams.profiles.hash_set import HashSet

_HASHES = st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 3), min_size=1, max_size=60)


@given(_HASHES, st.integers(1, 5))
def test_one_by_one_a_set_holds_what_it_holds_from_many_at_once(drawn: list[int], every: int) -> None:
    hashes, alone, together = np.array(drawn, np.uint64), HashSet(), HashSet()
    plain: set[int] = set()
    new = np.concatenate([alone.add(hashes[at : at + 1]) for at in range(len(hashes))])
    assert new.tolist() == together.add(hashes).tolist()
    for value, is_new in zip(drawn, new.tolist(), strict=True):
        assert is_new == (value not in plain)
        plain.add(value)
    assert len(alone) == len(together) == len(plain)
    assert sorted(alone.changes()["hashes"].tolist()) == sorted(together.changes()["hashes"].tolist())
    assert alone.holds(hashes[::every]).all()


@given(_HASHES, st.integers(1, 2**64 - 1))
def test_one_hash_has_the_place_that_it_has_among_others(drawn: list[int], other: int) -> None:
    places = np.zeros(SMALLEST, np.uint64)
    for value in filter(None, drawn):
        hashes = np.array([value], np.uint64)
        assert probe(places, hashes)[0] == probe(places, np.array([value, other], np.uint64))[0]
        places[probe(places, hashes)] = hashes
