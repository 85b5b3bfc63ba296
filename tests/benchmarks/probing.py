"""Watches the stores for the scores of probes: when each was seen in Redis and in ClickHouse.

Redis tells of changes itself: client tracking in broadcast mode sends the name of every changed key below the probes'
prefix, so nobody polls, and writes of other keys cost the server nothing. Each note is followed by one HGET, since a
sweep may have changed the hash too. ClickHouse is asked ten times a second for newer rows of probes; its times are
late by up to a tenth of a second.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import redis
from stacks import Stack

PREFIX: Final = "crm:score:{probe-"
POLL_SECONDS: Final = 0.1
OVERLAP: Final = 5_000_000
"""Microseconds by which an older row of a probe may come later than a newer one of another."""
_ROWS: Final = """
    SELECT customer_id, toUnixTimestamp64Micro(as_of) FROM score_changes
    WHERE customer_id >= 'probe-' AND customer_id < 'probe.' AND as_of > fromUnixTimestamp64Micro({since:Int64})
"""

Seen = tuple[str, float, float]
"""A probe, when it was seen, and the second as of which its score was; both in seconds since the Unix epoch."""


class Probing:
    """Two threads that note every score of a probe. Use it as a context."""

    def __init__(self, stack: Stack):
        self._stack = stack
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._watch_redis, self._ask)]
        self.redis: list[Seen] = []
        self.clickhouse: list[Seen] = []

    def __enter__(self) -> "Probing":
        self._notes = _Notes(self._stack.facts["redis_url"])
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._notes.close()

    def _watch_redis(self) -> None:
        while not self._ended.is_set():
            keys = self._notes.wait()
            now = time.time()
            for key in keys:
                as_of = self._stack.redis.hget(key, "as_of")
                if as_of:
                    self.redis.append((key[len(PREFIX) - len("probe-") : -1], now, _seconds(str(as_of))))

    def _ask(self) -> None:
        since, known, client = int(time.time() * 1e6), set[tuple[str, int]](), self._stack.new_clickhouse()
        while not self._ended.wait(POLL_SECONDS):
            rows = client.query(_ROWS, parameters={"since": since - OVERLAP}).result_rows
            now = time.time()
            new = [row for row in rows if row not in known]
            self.clickhouse += [(customer, now, as_of / 1e6) for customer, as_of in new]
            known.update(new)
            since = max([since, *(as_of for _, as_of in new)])


class _Notes:
    """The names of changed keys below the probes' prefix, as Redis tells them to one connection."""

    def __init__(self, url: str):
        pool = redis.Redis.from_url(url, decode_responses=True, protocol=2).connection_pool
        self._told: Any = pool.get_connection()
        self._asking: Any = pool.get_connection()
        number = _ask(self._told, "CLIENT", "ID")
        _ask(self._told, "SUBSCRIBE", "__redis__:invalidate")
        _ask(self._asking, "CLIENT", "TRACKING", "ON", "REDIRECT", number, "BCAST", "PREFIX", PREFIX)

    def wait(self) -> list[str]:
        """Keys that changed; none if nothing changes for a while."""
        if not self._told.can_read(timeout=0.1):
            return []
        _, _, keys = self._told.read_response()
        return list(keys or ())

    def close(self) -> None:
        """End both connections."""
        self._told.disconnect()
        self._asking.disconnect()


def _ask(connection: Any, *command: object) -> Any:
    connection.send_command(*command)
    return connection.read_response()


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def delays(probes: Sequence[Sequence[Any]], seen: Sequence[Seen]) -> list[float]:
    """Seconds from each probe's sending to the first score that knows it; probes that were never seen are left out."""
    return [delay for _, delay in delays_by_time(probes, seen)]


def delays_by_time(
    probes: Sequence[Sequence[Any]], seen: Sequence[Seen], shift: float = 0.0
) -> list[tuple[float, float]]:
    """When each probe was sent, and the seconds to the first score that knows it; those never seen are left out.

    ``shift`` is how many seconds the events' times are ahead of the time of sending.
    """
    by_probe: dict[str, list[Seen]] = {}
    for each in seen:
        by_probe.setdefault(each[0], []).append(each)
    found = []
    for name, sent in probes:
        times = [at for _, at, as_of in by_probe.get(name, ()) if at >= sent and as_of >= int(sent + shift)]
        if times:
            found.append((sent, min(times) - sent))
    return found


def summary(values: Sequence[float], sent: int) -> Mapping[str, float | int | None]:
    """Milliseconds at p50, p99 and most; how many probes were sent and how many were seen."""
    ordered = sorted(values)

    def quantile(share: float) -> float | None:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e3, 1) if ordered else None

    return {"p50": quantile(0.5), "p99": quantile(0.99), "most": quantile(1), "sent": sent, "seen": len(ordered)}
