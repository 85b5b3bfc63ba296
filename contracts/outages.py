"""What this process waits for at the moment: stores that do not answer. Counted like metrics, for the whole process."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_waiting: Counter[str] = Counter()


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
