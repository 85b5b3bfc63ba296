"""How many events each write key may send: a bucket of tokens per key. Pure: time is handed in. Moves no data."""

from typing import Final

BURST_SECONDS: Final = 1.0


class TokenBucket:
    """Allows ``rate`` events a second on average, after a pause those of :data:`BURST_SECONDS` at once.

    A request that finds a token is let through whole and may leave a debt, which the next ones wait for: otherwise a
    batch larger than the bucket could never pass.
    """

    def __init__(self, rate: float, now: float):
        self.rate = rate
        self._most = max(1.0, rate * BURST_SECONDS)
        self._tokens = self._most
        self._at = now

    def wait(self, now: float) -> float:
        """Seconds until a request is let through; 0 if it is now. ``now`` is in seconds of a monotonic clock."""
        self._tokens = min(self._most, self._tokens + max(0.0, now - self._at) * self.rate)
        self._at = now
        return 0.0 if self._tokens > 0 else (1e-9 - self._tokens) / self.rate

    def take(self, events: int) -> None:
        """Take the tokens of a request that was let through."""
        self._tokens -= events


class RateLimits:
    """The buckets of all keys that have a limit."""

    def __init__(self) -> None:
        self._buckets: dict[str, TokenBucket] = {}

    def wait(self, key_hash: str, rate: float | None, events: int, now: float) -> float:
        """Let a request of ``events`` through and give 0, or give the seconds after which it may come again."""
        if rate is None:
            self._buckets.pop(key_hash, None)  # no debt outlives its limit
            return 0.0
        bucket = self._buckets.get(key_hash)
        if bucket is None or bucket.rate != rate:
            bucket = self._buckets[key_hash] = TokenBucket(rate, now)
        seconds = bucket.wait(now)
        if not seconds:
            bucket.take(events)
        return seconds

    def take(self, key_hash: str, events: int) -> None:
        """Take the tokens of events that turned out to be in a request that was let through."""
        if key_hash in self._buckets:
            self._buckets[key_hash].take(events)

    def give_back(self, key_hash: str, events: int) -> None:
        """Forget a request that was let through and then not taken: it comes again."""
        if key_hash in self._buckets:
            self._buckets[key_hash].take(-events)
