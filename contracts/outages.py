"""The stores that this process waits for, because they do not answer. Process-wide, like metrics."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Final

SLOW_CALL_SECONDS: Final = 2.0
"""A call that takes longer counts as waiting for the store."""
_lock = threading.Lock()
_waiting: Counter[str] = Counter()
_away: Counter[str] = Counter()
_numbers = count()
_since: dict[str, float] = {}
_calls: dict[int, tuple[str, float]] = {}


@contextmanager
def waiting_for(store: str, *, aside: bool = False) -> Iterator[None]:
    """Mark this process as waiting for ``store`` while the block runs.

    ``aside``: a thread waits, and the process goes on without it and may end without it.
    """
    with _lock:
        _waiting[store] += not aside
        _away[store] += 1
        _since.setdefault(store, time.time())
    try:
        yield
    finally:
        with _lock:
            _waiting[store] -= not aside
            _away[store] -= 1
            if not _away[store]:
                del _since[store]


def is_away(store: str) -> bool:
    """Whether this process, or a thread aside, waits for ``store``."""
    with _lock:
        return _away[store] > 0


def stores_waited_for() -> list[str]:
    """Return the names of the stores that this process waits for, sorted."""
    with _lock:
        return sorted(store for store, waiters in _waiting.items() if waiters)


@contextmanager
def calling(store: str) -> Iterator[None]:
    """Mark a call to ``store`` as running while the block runs."""
    with _lock:
        number = next(_numbers)
        _calls[number] = store, time.time()
    try:
        yield
    finally:
        with _lock:
            del _calls[number]


def calls_under_way() -> dict[int, str]:
    """Return the running calls to stores, by a number that is unique to each call."""
    with _lock:
        return {number: store for number, (store, _) in _calls.items()}


def waiting_since(store: str) -> float:
    """Return when this process began to wait for a store or for the answer to a slow call (Unix seconds); else 0."""
    slow = time.time() - SLOW_CALL_SECONDS
    with _lock:
        calls = [began for name, began in _calls.values() if name == store and began < slow]
        return min([*calls, *([_since[store]] if store in _since else [])], default=0.0)
