"""Later sweeps take the place of earlier ones, and no customer is forgotten by it."""

from collections.abc import Mapping

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from contracts.outputs import HashWrites
from sinks.held_blocks import HeldBlocks


def sweep(versions: Mapping[str, int], replaces: str | None = "b0", field: str = "f", prefix: str = "p") -> HashWrites:
    ids = list(versions)
    values = [f"{customer}@{versions[customer]}" for customer in ids]
    numbers = np.array(list(versions.values()), np.int64)
    return HashWrites(prefix, ids, numbers, {field: values}, {"churn": numbers / 10}, None, replaces)


def held(*blocks: HashWrites) -> HeldBlocks:
    store = HeldBlocks()
    for number, block in enumerate(blocks):
        store.add(block, float(number))
    return store


def test_a_later_sweep_of_the_same_bucket_replaces_the_earlier() -> None:
    newer = sweep({"a": 2, "b": 2, "c": 2})
    assert held(sweep({"a": 1, "b": 1}), newer).blocks() == [newer]


def test_the_same_sweep_again_is_held_once() -> None:
    assert held(sweep({"a": 1, "b": 2}), sweep({"b": 2, "a": 1})).customers == 2


def test_other_buckets_prefixes_and_unnamed_blocks_stay() -> None:
    blocks = [
        sweep({"a": 1}),
        sweep({"a": 2}, "b1"),
        sweep({"a": 3}, prefix="q"),
        sweep({"a": 4}, None),
        sweep({"a": 5}, None),
    ]
    assert len(held(*blocks).blocks()) == 5


def test_customers_that_the_newer_lacks_are_kept() -> None:
    rest, newer = held(sweep({"a": 1, "b": 1, "c": 1}), sweep({"a": 2, "c": 2})).blocks()
    assert list(rest.ids) == ["b"]
    assert rest.columns == {"f": ["b@1"]}
    assert rest.ranks["churn"].tolist() == [0.1]
    assert list(newer.ids) == ["a", "c"]


def test_a_newer_version_in_the_older_block_is_kept() -> None:
    rest, _ = held(sweep({"a": 9, "b": 1}), sweep({"a": 2, "b": 2})).blocks()
    assert list(rest.ids) == ["a"]


def test_a_block_with_other_fields_replaces_nothing() -> None:
    assert len(held(sweep({"a": 1}, field="f"), sweep({"a": 2}, field="g")).blocks()) == 2


def test_age_is_that_of_the_oldest_and_ends_with_clear() -> None:
    store = held(sweep({"a": 1}), sweep({"a": 2}))
    assert (store.age(10.0), store.customers) == (10.0, 1)
    store.clear()
    assert (store.age(10.0), store.customers, store.blocks()) == (0.0, 0, [])


SWEEPS = st.lists(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 9)), max_size=6)


@given(SWEEPS)
def test_the_newest_of_each_customer_is_always_held(versions: list[dict[str, int]]) -> None:
    wanted: dict[str, int] = {}
    for each in versions:
        wanted |= {customer: max(version, wanted.get(customer, 0)) for customer, version in each.items()}
    found: dict[str, int] = {}
    for block in held(*map(sweep, versions)).blocks():
        for customer, version in zip(block.ids, block.versions.tolist(), strict=True):
            found[customer] = max(version, found.get(customer, 0))
    assert found == wanted
