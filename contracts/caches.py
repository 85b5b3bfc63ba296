"""Caches that may be emptied at any time, by any thread: what they hold is computed again when it is missing.

A worker empties them now and then (:mod:`crmstream.memory`). Python returns memory in pieces of 1 MB, and a single old
text keeps its whole piece: texts that stayed since a catch-up would keep most of what the catch-up took.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, TypeVar
from weakref import WeakValueDictionary

K = TypeVar("K")
V = TypeVar("V")
F = TypeVar("F", bound=Callable[..., Any])
_caches: WeakValueDictionary[int, "Cache[Any, Any]"] = WeakValueDictionary()
_functions: list[Callable[[], None]] = []


class Cache(dict[K, V]):
    """A dictionary of at most some ``most`` entries. It is emptied when it is full."""

    def __init__(self, most: int):
        super().__init__()
        self._most = most
        _caches[id(self)] = self

    def remember(self, entries: Mapping[K, V]) -> None:
        """Add entries."""
        if len(self) + len(entries) > self._most:
            self.clear()
        self.update(entries)


def cached(most: int) -> Callable[[F], F]:
    """Decorate a function whose newest ``most`` results are cached."""

    def decorate(function: F) -> F:
        made: Any = lru_cache(most)(function)
        _functions.append(made.cache_clear)
        decorated: F = made
        return decorated

    return decorate


def empty_caches() -> None:
    """Empty all caches of this process."""
    for reference in _caches.valuerefs():  # a list, made at once: another thread may make a cache meanwhile
        cache = reference()
        if cache is not None:
            cache.clear()
    for clear in _functions:
        clear()
