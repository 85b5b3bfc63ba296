"""What this process waits for at the moment: stores that do not answer. Counted like metrics, for the whole process."""

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
    """Say that this process goes on only when ``store`` answers, until the block ends."""
    with _lock:
        _waiting[store] += 1
    try:
        yield
    finally:
        with _lock:
            _waiting[store] -= 1


def stores_waited_for() -> list[str]:
    """The stores that somebody in this process waits for, by name."""
    with _lock:
        return sorted(store for store, waiters in _waiting.items() if waiters)


@contextmanager
def calling(store: str) -> Iterator[None]:
    """Say that a call to ``store`` is under way until the block ends."""
    with _lock:
        number = next(_numbers)
        _calls[number] = store
    try:
        yield
    finally:
        with _lock:
            del _calls[number]


def calls_under_way() -> dict[int, str]:
    """The calls to stores that have not returned, by a number that each call has for itself."""
    with _lock:
        return dict(_calls)
