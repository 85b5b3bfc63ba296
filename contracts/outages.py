"""The stores that this process waits for, because they do not answer. Process-wide, like metrics."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

_lock = threading.Lock()
_waiting: Counter[str] = Counter()
_numbers = count()
_calls: dict[int, str] = {}


@contextmanager
def waiting_for(store: str) -> Iterator[None]:
    """Mark this process as waiting for ``store`` while the block runs."""
    with _lock:
        _waiting[store] += 1
    try:
        yield
    finally:
        with _lock:
            _waiting[store] -= 1


def stores_waited_for() -> list[str]:
    """Return the names of the stores that this process waits for, sorted."""
    with _lock:
        return sorted(store for store, waiters in _waiting.items() if waiters)


@contextmanager
def calling(store: str) -> Iterator[None]:
    """Mark a call to ``store`` as running while the block runs."""
    with _lock:
        number = next(_numbers)
        _calls[number] = store
    try:
        yield
    finally:
        with _lock:
            del _calls[number]


def calls_under_way() -> dict[int, str]:
    """Return the running calls to stores, by a number that is unique to each call."""
    with _lock:
        return dict(_calls)
