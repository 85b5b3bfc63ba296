"""A worker gives memory back that it does not use, and leaves it alone where there is little."""

import ctypes
import sys

import pytest

from contracts.caches import Cache
from crmstream import memory

MEGABYTE = 1 << 20
SMALL = 60_000
"""Bytes of a piece that glibc takes from the heap."""


@pytest.fixture
def trimmer() -> memory.Trimmer:
    if not sys.platform.startswith("linux") or not hasattr(ctypes.CDLL(None), "mallinfo2"):
        pytest.skip("this C library is not glibc")
    return memory.Trimmer(ctypes.CDLL(None))


def test_memory_between_pieces_in_use_is_given_back(trimmer: memory.Trimmer) -> None:
    trimmer.look()
    before = memory.resident()
    pieces = [bytes(SMALL) for _ in range(400 * MEGABYTE // SMALL)]
    used = pieces[::2]
    del pieces
    assert memory.resident() - before > 300 * MEGABYTE
    assert trimmer.look()
    assert memory.resident() - before < 300 * MEGABYTE
    assert not trimmer.look()
    assert len(used[-1]) == SMALL


def test_memory_in_use_is_left_alone() -> None:
    class Libc:
        mallinfo2 = staticmethod(memory.Figures)  # nothing is unused

        def malloc_trim(self, _: int) -> None:
            raise AssertionError("there is nothing to trim")

    assert not memory.Trimmer(Libc()).look()


def test_without_glibc_there_is_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(_: None) -> object:
        return object()

    monkeypatch.setattr(memory.ctypes, "CDLL", without)
    memory.give_back()


def test_caches_are_emptied_now_and_then(trimmer: memory.Trimmer) -> None:
    cache: Cache[str, int] = Cache(10)
    cache.remember({"a": 1})
    assert memory.tend(trimmer, 100.0, 100.0 + memory.CACHED_SECONDS - 1) == 100.0
    assert cache == {"a": 1}
    assert memory.tend(trimmer, 100.0, 100.0 + memory.CACHED_SECONDS) == 100.0 + memory.CACHED_SECONDS
    assert cache == {}
