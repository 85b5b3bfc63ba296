"""Ids by position: exact whatever their hashes, also after releases, growth and the dropping of old texts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.profiles import names as module
from streams.profiles.names import Names
from streams.profiles.ordering import Ordered
from streams.profiles.texts import packed

HASHES = {
    "of Python": lambda text: hash(text) % 2**64,
    "all the same": lambda _: 2**63 + 5,
    "zero": lambda _: 0,
    "the same upper half": lambda text: 2**40 + hash(text) % 2**32,
    "two": lambda text: (hash(text) % 2) << 63,
}
ids = st.text(st.characters(codec="utf-8", exclude_categories=("Cc",)), min_size=1, max_size=5)


@pytest.mark.parametrize("kind", HASHES)
@given(steps=st.lists(st.tuples(st.booleans(), st.lists(ids, min_size=1, max_size=40, unique=True)), max_size=8))
def test_names_are_a_mapping_both_ways(kind: str, steps: list[tuple[bool, list[str]]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        hashes = HASHES[kind]
        patch.setattr(module, "_hashes", lambda some: np.array([hashes(each) for each in some], np.uint64))
        names, expected, free, size = Names(), dict[str, int](), list[int](), 0
        for adds, some in steps:
            new = [each for each in some if each not in expected]
            known = [each for each in some if each in expected]
            if adds and new:
                at = [free.pop() if free else (size := size + 1) - 1 for _ in new]
                names.put(new, np.array(at))
                expected.update(zip(new, at, strict=True))
            elif not adds and known:
                at = [expected.pop(each) for each in known]
                names.release(np.array(at))
                free += at
            asked = [*some, *expected, "never"]
            assert names.find(asked).tolist() == [expected.get(each, -1) for each in asked]
            there = {position: name for name, position in expected.items()}
            every = np.arange(size)
            assert names.take(every).tolist() == [there.get(each, "") for each in range(size)]
            assert names.column(every).to_pylist() == names.take(every).tolist()
            assert names.used(every).tolist() == [each in there for each in range(size)]
            assert (len(names), names.count) == (size, len(expected))
            assert [names.take(np.array([each]))[0] for each in there] == list(there.values())


@given(some=st.lists(ids, min_size=1, max_size=40, unique=True), data=st.data())
def test_ids_joined_by_arrow_are_those_joined_by_python(some: list[str], data: st.DataObject) -> None:
    names = Names()
    names.put(some, np.arange(len(some)))
    names.release(np.array(data.draw(st.lists(st.integers(0, len(some) - 1), unique=True)), np.int64))
    at = np.array(data.draw(st.lists(st.integers(0, len(some) - 1))), np.int64)
    expected = packed(names.take(at))
    assert names.packed(at) == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_MANY", 0)
        assert names.packed(at) == expected


def test_many_ids_that_come_and_go_take_no_more_memory() -> None:
    names, at = Names(), np.arange(1_000)
    for generation in range(50):
        names.put([f"visitor-{generation}-{number}" for number in range(1_000)], at)
        names.release(at)
    assert len(names._bytes) < 200_000
    assert len(names._places) <= 8_192


@given(st.lists(st.tuples(st.booleans(), st.sets(st.integers(0, 60), min_size=1, max_size=30)), max_size=12))
def test_an_order_to_which_some_are_added_is_that_of_all(steps: list[tuple[bool, set[int]]]) -> None:
    keys, names, order = np.random.default_rng(5).permutation(61).astype(np.uint64), Names(), Ordered()
    used: set[int] = set()
    for number, (adds, some) in enumerate(steps):
        at = np.array(sorted(some - used if adds else some & used), np.int64)
        if not len(at):
            continue
        if adds:
            names.put([str(each) for each in at], at)
            order.add(at)
        else:
            names.release(at)
            order.remove(at)
        used ^= set(at.tolist())
        if number % 2:
            assert order.positions(keys, names).tolist() == sorted(used, key=lambda each: keys[each])
    assert order.positions(keys, names).tolist() == sorted(used, key=lambda each: keys[each])
