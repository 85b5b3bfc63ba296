"""Caches are bounded, may be emptied at any time, and cost no memory when nobody uses them any longer."""

import gc

from contracts import caches
from contracts.caches import Cache, cached, empty_caches


def test_a_full_cache_is_emptied() -> None:
    cache: Cache[str, int] = Cache(3)
    cache.remember({"a": 1, "b": 2})
    cache.remember({"c": 3})
    assert cache == {"a": 1, "b": 2, "c": 3}
    cache.remember({"d": 4})
    assert cache == {"d": 4}


def test_caches_are_emptied_together() -> None:
    asked: list[int] = []

    @cached(10)
    def double(number: int) -> int:
        """Return twice the number."""
        asked.append(number)
        return 2 * number

    one, other = Cache[str, int](10), Cache[str, int](10)
    one.remember({"a": 1})
    other.remember({"b": 2})
    assert [double(4), double(4)] == [8, 8]
    assert asked == [4]
    empty_caches()
    assert (one, other) == ({}, {})
    assert double(4) == 8
    assert asked == [4, 4]
    assert double.__doc__ == "Return twice the number."


def test_a_cache_that_nobody_uses_is_not_kept() -> None:
    gc.collect()
    before = len(caches._caches)
    cache: Cache[str, int] = Cache(3)
    assert len(caches._caches) == before + 1
    del cache
    gc.collect()
    assert len(caches._caches) <= before
